"""Times our 1x1 and 3x3 convolutions against flax's own, forward and with gradients.

    python -m benchmarks.convolutions [--json FILE]

prints, for shapes of ResNet-50 and of the head, the shortest times of both and their ratio. Compare
only ratios within one run.
"""

import argparse
import functools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from benchmarks.ratio import Ratio, write_ratios
from benchmarks.timing import times_ms
from cosseg_jax.models.layers import PointwiseConv, convolved_3x3

IMAGES = 20
SHAPES = {  # by window: side of the maps, input channels, output channels
    1: ((56, 256, 128), (28, 512, 128), (14, 1024, 256), (7, 2048, 512), (7, 512, 2048)),
    3: ((56, 128, 128), (28, 128, 128), (14, 256, 256), (7, 512, 512)),
}
OURS = {
    1: PointwiseConv,
    3: functools.partial(nn.Conv, kernel_size=(3, 3), conv_general_dilated=convolved_3x3),
}


def times_of(layer: nn.Module, x: jax.Array) -> tuple[list[float], list[float]]:
    """Milliseconds of the forward pass, and of the gradients of input and parameters."""
    variables = layer.init(jax.random.key(0), x[:1])

    def loss(variables: Any, x: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(layer.apply(variables, x)))  # type: ignore[arg-type]

    forward, gradient = jax.jit(layer.apply), jax.jit(jax.grad(loss, argnums=(0, 1)))
    return times_ms(forward, variables, x), times_ms(gradient, variables, x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    ratios = []
    print("window side channels   forward: flax, ours, ratio   gradients: flax, ours, ratio")
    for window, shapes in SHAPES.items():
        for side, channels, features in shapes:
            x = jax.random.normal(jax.random.key(1), (IMAGES, side, side, channels))
            flaxs = times_of(nn.Conv(features, (window, window)), x)
            ours = times_of(OURS[window](features), x)
            name, columns = f"{window}x{window} {side:4} {channels:4}->{features:<4}", []
            for kind, theirs, own in zip(("forward", "gradients"), flaxs, ours, strict=True):
                best = min(theirs), min(own)
                columns.append(f"{best[0]:8.1f} {best[1]:8.1f} {best[0] / best[1]:6.2f}")
                values = tuple(one / other for one, other in zip(theirs, own, strict=True))
                ratios.append(Ratio(f"{name} {kind}, flax / ours", values))
            print(name, *columns, "ms", flush=True)
    if options.json:
        write_ratios(options.json, ratios)


if __name__ == "__main__":
    main()
