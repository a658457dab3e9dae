"""Copy-paste and background swaps: how an image changes, and how its masks do."""

import numpy as np
import pytest
from toys import ToySource

from cosseg_jax.data.augment import (
    MIN_PIXELS,
    PASTED_SIZES,
    AugmentOptions,
    Cutout,
    View,
    cut_object,
    paste,
)
from cosseg_jax.data.groups import GroupSampler, SamplingOptions
from cosseg_jax.data.pipeline import PAPER_SAMPLING, training_batches

HEIGHT, WIDTH = 60, 80
RED = (255, 0, 0)


@pytest.fixture
def cutout():
    """A red disc in its bounding box."""
    rows, columns = np.mgrid[:40, :40]
    mask = (rows - 20) ** 2 + (columns - 20) ** 2 < 19**2
    image = np.zeros((40, 40, 3), np.uint8)
    image[mask] = RED
    return Cutout(image, mask, label=7)


@pytest.fixture
def view():
    """A blue image, all of which is object and void."""
    return View(
        np.full((HEIGHT, WIDTH, 3), (0, 0, 200), np.uint8),
        np.ones((HEIGHT, WIDTH), bool),
        np.ones((HEIGHT, WIDTH), bool),
        np.full((HEIGHT, WIDTH), 3, np.uint16),
    )


def red_of(image):
    return (image[..., 0] > 150) & (image[..., 2] < 100)


@pytest.mark.parametrize("seed", range(5))
def test_covered_pixels_leave_the_mask(view, cutout, seed):
    found = paste(view, cutout, np.random.default_rng(seed), shared=False)
    covered = ~found.mask
    assert covered.any()
    np.testing.assert_array_equal(found.void, ~covered)
    np.testing.assert_array_equal(found.category_map, np.where(covered, 7, 3))
    assert (red_of(found.image) == covered).mean() > 0.97
    assert red_of(found.image)[covered].mean() > 0.8


def test_a_shared_object_joins_the_mask(view, cutout):
    empty = view._replace(mask=np.zeros_like(view.mask), category_map=None)
    found = paste(empty, cutout, np.random.default_rng(0), shared=True)
    assert found.category_map is None
    np.testing.assert_array_equal(found.mask, ~found.void)
    rows, columns = (np.flatnonzero(found.mask.any(axis=axis)) for axis in (1, 0))
    larger = max(np.ptp(rows), np.ptp(columns)) + 1
    assert PASTED_SIZES[0] * HEIGHT - 2 <= larger <= PASTED_SIZES[1] * HEIGHT + 2


def test_the_image_itself_is_not_changed(view, cutout):
    before = [array.copy() for array in view]
    paste(view, cutout, np.random.default_rng(0), shared=False)
    for array, kept in zip(view, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_an_object_is_cut_out_with_its_bounding_box():
    image = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint64).astype(np.uint8)
    image = image.reshape(HEIGHT, WIDTH, 3)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:40, 20:50] = True
    found = cut_object(image, mask, category=4)
    assert found is not None
    assert found.label == 5
    np.testing.assert_array_equal(found.image, image[10:40, 20:50])
    assert found.mask.all()


def test_small_and_absent_objects_are_not_cut_out():
    image, mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), bool)
    assert cut_object(image, mask, 0) is None
    mask.ravel()[: MIN_PIXELS - 1] = True
    assert cut_object(image, mask, 0) is None


class Solid(ToySource):
    """Objects without holes: the left half of every image."""

    def __getitem__(self, index):
        example = super().__getitem__(index)
        masks = np.zeros_like(example.masks)
        masks[:, :, : masks.shape[2] // 2] = True
        return example._replace(masks=masks)


SOURCE = Solid([[i % 3] for i in range(18)], 3, size=(48, 64))


def batches_of(sampling=PAPER_SAMPLING, **augment):
    stream = training_batches(
        SOURCE,
        seed=0,
        group_size=3,
        groups_per_step=2,
        image_size=32,
        sampling=sampling,
        augment=AugmentOptions(**augment),
        category_maps=True,
    )
    taken = [next(stream) for _ in range(4)]
    stream.close()
    return taken


def test_copy_paste_covers_parts_of_the_mask_by_other_categories():
    for plain, changed in zip(batches_of(), batches_of(copy_paste=1.0), strict=True):
        assert (plain.images != changed.images).any()
        assert (changed.masks <= plain.masks).all()
        assert changed.masks.sum() < plain.masks.sum()
        np.testing.assert_array_equal(plain.labels, changed.labels)
        hidden = (plain.masks > 0) & (changed.masks == 0)
        own = np.argmax(plain.labels, axis=1) + 1
        others = changed.category_maps != own[:, None, None, None]
        assert others[hidden].all()


def test_a_background_swap_keeps_the_object_and_replaces_everything_else():
    for plain, changed in zip(batches_of(), batches_of(background_swap=1.0), strict=True):
        assert (plain.images != changed.images).any(axis=-1).mean() > 0.9
        assert changed.masks.any(axis=(2, 3)).all()
        own = np.argmax(plain.labels, axis=1) + 1
        named = changed.category_maps == own[:, None, None, None]
        np.testing.assert_array_equal(changed.masks > 0, named)


def test_distractors_do_not_get_the_object():
    sampling = SamplingOptions(distractors=1.0)
    sampler = GroupSampler(SOURCE, seed=0, group_size=3, options=sampling)
    for step, batch in enumerate(batches_of(sampling, copy_paste=0.5, background_swap=1.0)):
        for place in range(2):
            count = sampler[2 * step + place].distractors
            assert count
            assert not batch.masks[place, -count:].any()


def test_each_batch_depends_on_seed_and_step_alone():
    options = dict(copy_paste=0.5, background_swap=0.5, flip=True, max_scale=1.5)
    for one, other in zip(batches_of(**options), batches_of(**options), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.masks, other.masks)
