"""The category maps of batches agree with their masks after any crop, flip and resize."""

import numpy as np

from cosseg_jax.data.augment import AugmentOptions
from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.data.groups import category_map
from cosseg_jax.data.pipeline import training_batches
from cosseg_jax.types import Example


def test_categories_count_from_one_and_the_last_of_two_covers_the_other():
    masks = np.zeros((2, 2, 2), bool)
    masks[0, 0], masks[1, :, 0] = True, True
    image, void = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), bool)
    example = Example(image, masks, void, np.asarray([3, 7]), "made up")
    np.testing.assert_array_equal(category_map(example), [[8, 4], [8, 0]])


def test_more_than_255_categories_have_their_own_numbers():
    """As many as datasets such as LVIS have; bytes would count 256 as 0, none."""
    masks = np.ones((1, 1, 1), bool)
    image, void = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), bool)
    for category in (254, 255, 256, 1202):
        example = Example(image, masks, void, np.asarray([category]), "made up")
        assert category_map(example).item() == category + 1


def test_maps_and_masks_of_augmented_batches_agree():
    """Objects of shapes do not overlap: the mask is where the map has a shared category."""
    batches = training_batches(
        Shapes("train", size=32),
        seed=0,
        group_size=3,
        groups_per_step=4,
        image_size=24,
        augment=AugmentOptions(flip=True, max_scale=1.5),
        category_maps=True,
        threads=0,
    )
    batch = next(batches)
    batches.close()
    assert batch.category_maps is not None
    for maps, masks, labels in zip(batch.category_maps, batch.masks, batch.labels, strict=True):
        shared = np.flatnonzero(labels) + 1
        np.testing.assert_array_equal(np.isin(maps, shared), masks > 0.5)


def test_batches_have_no_maps_unless_asked():
    options = dict(seed=0, group_size=2, groups_per_step=1, image_size=16, threads=0)
    batches = training_batches(Shapes("train", size=16), **options)
    assert next(batches).category_maps is None
    batches.close()
