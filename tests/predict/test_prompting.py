"""How prompts weigh the images of a group, and what looks like an excluded region."""

import numpy as np
import pytest

from cosseg_jax.data.prompts import Marked
from cosseg_jax.predict import prompting
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import FeatureMaps, ImageEncoding

SIDE = 8  # of the images, whose maps have 4 x 4 cells
LEFT, RIGHT = (slice(None), slice(0, 4)), (slice(None), slice(4, 8))


def marks(shown=None, excluded=None) -> Marked:
    pixels = np.zeros((2, SIDE, SIDE), bool)
    for kind, where in enumerate((shown, excluded)):
        if where is not None:
            pixels[kind][where] = True
    return Marked(pixels[0], pixels[1], pixels[0])


def encodings(*kinds: np.ndarray) -> tuple[ImageEncoding, ...]:
    """Images whose cells have one of three descriptors each, by the kinds [4, 4] of the cells."""
    coarsest = 5 + np.eye(3, dtype=np.float32)[np.stack(kinds)]  # [M, 4, 4, 3]
    return tuple(ImageEncoding(FeatureMaps(*[each] * 4), each, None) for each in coarsest)


def halves(left: int, right: int) -> np.ndarray:
    return np.repeat([[left, left, right, right]], 4, axis=0)


def test_a_prompted_image_is_pooled_under_its_marks():
    shown, beside = PromptedImage(1, marks(LEFT)), PromptedImage(2, marks(None, LEFT))
    found = prompting.pooling_weights([shown, beside], range(3), 4, 4)
    np.testing.assert_allclose(found[0], 1 / 16)
    np.testing.assert_allclose(found[1], halves(1, 0) / 8)
    np.testing.assert_allclose(found[2], halves(0, 1) / 8)
    assert prompting.pooling_weights([shown], [0, 2], 4, 4) is None


def test_images_that_show_the_object_suffice_at_first_and_those_without_it_never_count():
    everything = (slice(None), slice(None))
    prompted = [PromptedImage(0, marks(None, everything)), PromptedImage(3, marks(LEFT))]
    assert prompting.counted_images(prompted, 5, first=True).tolist() == [3]
    assert prompting.counted_images(prompted, 5, first=False).tolist() == [1, 2, 3, 4]
    assert prompting.counted_images(prompted[:1], 1, first=True).tolist() == [0]


@pytest.mark.parametrize("shown", [LEFT, None])
def test_what_looks_like_the_excluded_region_is_lowered_in_every_image(shown):
    """In the first image kind 0 is shown, or nothing, and kind 1 excluded; the second has both."""
    prompted = [PromptedImage(0, marks(shown, RIGHT))]
    images = encodings(halves(0, 1), halves(1, 0))
    weights = prompting.region_weights(prompted, range(2), 4, 4)
    means = prompting.region_means(images, weights)[None]
    exclusion = prompting.exclusion_of(means, prompted)
    maps = exclusion.lowered(np.full((2, 4, 4), 0.9, np.float32), images)
    assert (maps[0][:, 2:] < 0.01).all()
    assert (maps[1][:, :2] < 0.01).all()
    assert (maps[1][:, 2:] > 0.89).all()
    kept = exclusion.narrowed(None, images)
    np.testing.assert_allclose(kept.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(kept[1][:, 2:].sum(), 1, rtol=1e-4)


def test_without_an_excluded_region_nothing_is_lowered():
    images = encodings(halves(0, 1))
    exclusion = prompting.exclusion_of(None, [PromptedImage(0, marks(LEFT))])
    maps = np.full((1, 4, 4), 0.9, np.float32)
    assert exclusion.lowered(maps, images) is maps
    assert exclusion.narrowed(None, images) is None


def two_parts() -> np.ndarray:
    """Probabilities of an 8 x 8 image with an object on the left and one on the right."""
    probability = np.full((8, 8), 0.1, np.float32)
    probability[2:6, 1:3] = probability[2:6, 5:7] = 0.9
    return probability


def pixels(*corners: int) -> np.ndarray:
    top, bottom, left, right = corners
    found = np.zeros((8, 8), bool)
    found[top:bottom, left:right] = True
    return found


def test_a_point_keeps_the_part_that_holds_it():
    point = pixels(3, 4, 2, 3)
    found = prompting.within_shown(two_parts(), Marked(point, np.zeros_like(point), point))
    np.testing.assert_array_equal(found > 0.5, pixels(2, 6, 1, 3))


def test_a_box_keeps_what_lies_inside():
    box = pixels(0, 4, 4, 8)
    found = prompting.within_shown(two_parts(), Marked(box, np.zeros_like(box), np.zeros_like(box)))
    np.testing.assert_array_equal(found > 0.5, pixels(2, 4, 5, 7))


def test_a_photo_in_which_nothing_is_shown_keeps_its_mask():
    nothing = np.zeros((8, 8), bool)
    found = prompting.within_shown(two_parts(), Marked(nothing, pixels(0, 1, 0, 1), nothing))
    np.testing.assert_array_equal(found, two_parts())
