"""Describing the categories of a network by their images."""

import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.train.agnostic_pool import SIDE, Pool
from cosseg_jax.train.known_categories import familiarity_of

CELLS, CHANNELS = 6, 5


def pool() -> Pool:
    """Four images: two of category 1, one of 2, one of both; VOID beside the objects."""
    labels = np.zeros((4, SIDE, SIDE), np.int16)
    half = SIDE // 2
    labels[:2, :half], labels[2, :half], labels[3, :half] = 1, 2, 1
    labels[3, half:] = 2
    cells = labels[:, :: SIDE // CELLS, :: SIDE // CELLS]
    coarse = (1 + np.eye(CHANNELS)[cells]).astype(np.float16)
    return Pool(coarse, coarse, labels)


def test_each_category_has_the_direction_of_its_objects():
    found = familiarity_of(pool(), ["cat", "dog"])
    np.testing.assert_allclose(found.mean, pool().coarse.mean(axis=(0, 1, 2)), atol=1e-3)
    for number, prototype in enumerate(found.prototypes, start=1):
        expected = 1 + np.eye(CHANNELS)[number] - found.mean
        np.testing.assert_allclose(prototype, expected / np.linalg.norm(expected), atol=1e-2)


def test_a_category_without_images_is_named():
    with pytest.raises(UserError, match="no training image shows a sheep"):
        familiarity_of(pool(), ["cat", "dog", "sheep"])
