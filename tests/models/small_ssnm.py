"""The whole network with little in it, and groups and maps to feed it with."""

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
# At stride 16, S has 4 x 4 cells of each photograph, with an inside and a border.
NETWORK = SSNM(
    "hrnet_tiny",
    CATEGORIES,
    features=FEATURES,
    spatial_stride=16,
    semantic=SemanticOptions(reduced=4),
)
PAPER = dataclasses.replace(NETWORK, spatial_stride=32)


def photographs(groups: int, photos: int, seed: int = 0) -> np.ndarray:
    """A bright square of one colour somewhere in each, on dark noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 80, (groups, photos, SIZE, SIZE, 3), dtype=np.uint8)
    for photo in np.ndindex(groups, photos):
        top, left = rng.integers(8, 32, 2)
        images[photo][top : top + 24, left : left + 24] = (250, 180, 60)
    return images


def maps_of(groups: int, photos: int, size: int = SIZE, seed: int = 0) -> FeatureMaps:
    """Maps of noise, of hrnet_tiny's sizes."""
    rng = np.random.default_rng(seed)
    return FeatureMaps(
        *(
            rng.random((groups, photos, size // stride, size // stride, 2 * stride), np.float32)
            for stride in STRIDES
        )
    )


def blank(maps: FeatureMaps) -> np.ndarray:
    """Images that only say the size of what the maps show."""
    side = 4 * maps.stride4.shape[2]
    return np.zeros((*maps.stride4.shape[:2], side, side, 3), np.uint8)


@functools.cache
def variables_of(network: SSNM) -> dict[str, Any]:
    return drawn_variables(network, photographs(1, 2))


def assert_close(one, other, tolerance: float = 1e-3):
    """Measured against the largest value."""
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


def assert_finite(tree):
    for path, leaf in jax.tree.leaves_with_path(tree):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
