"""Pictures made of several labelled images."""

import numpy as np

from cosseg_jax.data.composites import VOID, LabelledPicture, mosaic, pasted

RNG = np.random.default_rng(0)


def picture(label: int, side: int = 60) -> LabelledPicture:
    """A square of one grey, 20 x its label, on black."""
    labels = np.zeros((side, side), np.int16)
    labels[side // 4 : -side // 4, side // 4 : -side // 4] = label
    return LabelledPicture(np.repeat((20 * labels)[..., None], 3, 2).astype(np.uint8), labels)


def assert_matches(found: LabelledPicture) -> None:
    """Every pixel has the grey of its label, but for the blur at outlines."""
    right = np.abs(found.image[..., 0].astype(int) - 20 * found.labels) < 3
    assert right.mean() > 0.95


def test_a_mosaic_keeps_images_and_labels_together():
    found = mosaic([picture(n) for n in (1, 2, 3, 4)], 96, RNG)
    assert found.image.shape == (96, 96, 3)
    assert set(np.unique(found.labels)) == {0, 1, 2, 3, 4}
    assert_matches(found)
    assert found.labels[20, 20] == 1  # its order is that of reading
    assert found.labels[-20, -20] == 4


def test_pasted_objects_cover_what_lies_below():
    found = pasted(picture(1), [picture(5, 80), picture(6, 80)], 96, RNG)
    assert found.labels.shape == (96, 96)
    assert {5, 6} <= set(np.unique(found.labels))
    assert_matches(found)


def test_void_stays_void():
    image, labels = picture(1)
    labels = labels.copy()
    labels[:5] = VOID
    found = pasted(LabelledPicture(image, labels), [], 60, RNG)
    assert (found.labels[:5] == VOID).all()
    assert (found.labels[6:] != VOID).all()


def test_flipping_and_resizing_move_both():
    found = picture(3).resized(30, 90).flipped
    assert found.image.shape == (30, 90, 3)
    assert_matches(found)
