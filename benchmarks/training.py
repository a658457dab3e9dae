"""Times training steps: compiling, a step, and its share of what matrix products reach.

    python -m benchmarks.training [--gpu] [--recipes quickstart ...] [--json FILE]

Each recipe's own step, with its optimizer and losses, on batches of built-in images. `steady` steps
are not waited for one by one, as in a run; a `waited` step is. Operations are those that XLA counts
in the step before it is optimised, and the peak is the rate of one large matrix product in the same
precision. Compare only within one run.
"""

import argparse
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from benchmarks.ratio import Ratio, write_ratios
from benchmarks.starting import Start, start_of
from benchmarks.timing import peak_tflops, shares_of_peak, times_ms
from configs import hrnet, quickstart, resnet50_voc_tuned, vgg16
from cosseg_jax.train import setup
from cosseg_jax.train.step import AXIS, make_update
from cosseg_jax.types import GroupBatch

STEADY = 4  # steps that are waited for together


class Recipe(NamedTuple):
    """A recipe and what is changed in it; `gpu`: whether it is too large for a CPU."""

    config: Any
    changes: Mapping[str, Any] = MappingProxyType({})
    gpu: bool = False


FRESH = {"model.pretrained": ""}
BFLOAT16 = {"model.dtype": "bfloat16"}
SHIPPED = {"start_from": "shipped"}
LARGE = SHIPPED | BFLOAT16 | {"image_size": 320, "groups_per_step": 8, "model.num_iterations": 3}
RECIPES = {
    "quickstart": Recipe(quickstart),
    "resnet50": Recipe(resnet50_voc_tuned, SHIPPED | {"groups_per_step": 2}),
    "vgg16": Recipe(vgg16, FRESH, gpu=True),
    "vgg16 bfloat16": Recipe(vgg16, FRESH | BFLOAT16, gpu=True),
    "hrnet bfloat16": Recipe(hrnet, FRESH | BFLOAT16, gpu=True),
    "resnet50 320 bfloat16": Recipe(resnet50_voc_tuned, LARGE, gpu=True),
}


def config_of(recipe: Recipe) -> ConfigDict:
    """The recipe's config on the built-in data set."""
    config = recipe.config.get_config()
    config.update_from_flattened_dict(dict(recipe.changes))
    config.dataset, config.cache_dir, config.test_split = "shapes", "", ""
    return config


def operations(start: Start, batch: GroupBatch) -> float:
    """Those of a step."""
    update = make_update(start.network, start.config, start.optimizer)
    alone = jax.tree.map(lambda x: jnp.asarray(x)[None], (start.state, batch))  # as on one device
    lowered = jax.jit(jax.vmap(update, axis_name=AXIS)).lower(*alone)
    return (lowered.cost_analysis() or {})["flops"]


def measured(name: str, recipe: Recipe) -> list[Ratio]:
    """Prints the recipe's times, and returns its share of the peak."""
    start = start_of(config_of(recipe))
    config, trainer = start.config, start.trainer()
    with contextlib.closing(setup.make_batches(config, start.source, None)) as batches:
        batch = next(batches)
    begin = time.perf_counter()
    jax.block_until_ready(trainer.step(batch))
    compiling = time.perf_counter() - begin

    def several() -> Any:
        return [trainer.step(batch) for _ in range(STEADY)]

    waited = times_ms(trainer.step, batch)
    steady = [each / STEADY for each in times_ms(several)]
    images = config.groups_per_step * config.group_size
    peak, count = peak_tflops(config.model.dtype), operations(start, batch)
    shares = shares_of_peak(count, steady, peak)
    print(
        f"{name}: {images} images of {config.image_size} pixels, {config.model.dtype}: first step "
        f"{compiling:.1f} s, then {min(waited):.1f} ms waited for, {min(steady):.1f} ms steady, "
        f"{1e3 * images / min(steady):.1f} images/s; {count / 1e9:.1f} GFLOP a step, "
        f"{max(shares):.0%} of {peak:.3g} TFLOP/s",
        flush=True,
    )
    return [Ratio(f"{name}, share of the rate of matrix products", shares)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, help="default: those for a CPU")
    parser.add_argument("--gpu", action="store_true", help="by default, those for a GPU")
    parser.add_argument("--json", type=Path, help="file for the ratios")
    options = parser.parse_args()
    chosen = options.recipes or [n for n, each in RECIPES.items() if each.gpu == options.gpu]
    ratios = [ratio for name in chosen for ratio in measured(name, RECIPES[name])]
    if options.json:
        write_ratios(options.json, ratios)


if __name__ == "__main__":
    main()
