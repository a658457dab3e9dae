"""A small version of the whole network, with groups and feature maps for its tests."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from toy_networks import drawn_variables

from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.semantic import SemanticOptions
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.types import FeatureMaps

SIZE, FEATURES, CATEGORIES = 64, 8, 3
# At stride 16, S has 4 x 4 cells per image, so it has an interior and a border.
NETWORK = SSNM(
    "hrnet_tiny",
    CATEGORIES,
    features=FEATURES,
    spatial_stride=16,
    semantic=SemanticOptions(reduced=4),
)
PAPER = dataclasses.replace(NETWORK, spatial_stride=32)


def square_images(groups: int, count: int, seed: int = 0) -> np.ndarray:
    """Images of dark noise, each with a bright square of the same colour: [B, N, H, W, 3]."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 80, (groups, count, SIZE, SIZE, 3), dtype=np.uint8)
    for place in np.ndindex(groups, count):
        top, left = rng.integers(8, 32, 2)
        images[place][top : top + 24, left : left + 24] = (250, 180, 60)
    return images


def maps_of(groups: int, count: int, size: int = SIZE, seed: int = 0) -> FeatureMaps:
    """Feature maps of noise with the shapes of hrnet_tiny's, for images of `size`."""
    rng = np.random.default_rng(seed)
    return FeatureMaps(
        *(
            rng.random((groups, count, size // stride, size // stride, 2 * stride), np.float32)
            for stride in STRIDES
        )
    )


def blank(maps: FeatureMaps) -> np.ndarray:
    """Black images of the size that the maps belong to."""
    side = 4 * maps.stride4.shape[2]
    return np.zeros((*maps.stride4.shape[:2], side, side, 3), np.uint8)


@functools.cache
def variables_of(network: SSNM) -> dict[str, Any]:
    return drawn_variables(network, square_images(1, 2))


def assert_close(one, other, tolerance: float = 1e-3):
    """The tolerance is relative to the largest value."""
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


def assert_finite(tree):
    for path, leaf in jax.tree.leaves_with_path(tree):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
