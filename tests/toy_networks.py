"""Networks and variables that need no compilation, for tests of what goes on around them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import hrnet
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.ssnm import SSNM, from_config
from cosseg_jax.types import FeatureMaps


class ToyBackbone(nn.Module):
    """One strided convolution a level, with batch norm; to be entered in BACKBONES by a test."""

    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images, *, train: bool) -> FeatureMaps:
        levels = []
        for stride, channels in ((4, 2), (8, 3), (16, 4), (32, 5)):
            window = (stride, stride)
            x = nn.Conv(channels, window, window, dtype=self.dtype)(images)
            x = nn.BatchNorm(not train, axis_name=self.axis_name, dtype=self.dtype)(x)
            levels.append(nn.relu(x))
        return FeatureMaps(*levels)


@contextlib.contextmanager
def toy_network(images: np.ndarray, **model: int) -> Iterator[tuple[SSNM, dict[str, Any]]]:
    """A network of 8 channels and 2 categories on the toy backbone, with drawn variables.

    images: a group of its inputs [N, S, S, 3]. model: further fields of `config.model`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "toy", ToyBackbone)
        config = hrnet.get_config()
        config.model.update(backbone="toy", features=8, **model)
        config.model.semantic.reduced = 4
        network = from_config(config.model, 2)
        yield network, drawn_variables(network, images[None])


def drawn_variables(network: nn.Module, *inputs, seed: int = 0, **options) -> dict[str, Any]:
    """Variables of a network in evaluation: kernels that keep the scale, small biases.

    Drawn by NumPy in the order of their names, without compiling the network's `init`.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf) -> jax.Array:
        if leaf.ndim > 1:
            values = rng.standard_normal(leaf.shape) / np.prod(leaf.shape[:-1]) ** 0.5
        else:
            around = 1.0 if path[-1].key in ("scale", "var") else 0.0
            values = around + rng.uniform(-0.2, 0.2, leaf.shape)
        return jnp.asarray(values, jnp.float32)

    shapes = jax.eval_shape(
        lambda: network.init(jax.random.key(0), *inputs, train=False, **options)
    )
    return jax.tree.map_with_path(draw, shapes)
