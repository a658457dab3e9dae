"""Resizing and augmentation: values computed by hand; image, mask and void change together."""

import numpy as np
import pytest

from cosseg_jax.data.augment import (
    AugmentOptions,
    View,
    check_options,
    flip_view,
    jitter,
    network_view,
    random_crop,
)
from cosseg_jax.data.resizing import resize_image, resize_mask
from cosseg_jax.errors import UserError


def blob_view(height=60, width=80) -> View:
    """A bright rectangle on black with its mask; all other pixels are void."""
    mask = np.zeros((height, width), dtype=bool)
    mask[10:35, 50:75] = True
    image = np.repeat(mask[..., None] * np.uint8(255), 3, axis=2)
    return View(image, mask, ~mask)


def test_shrinking_an_image_averages():
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    image = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    small = resize_image(image, 2).astype(int)
    assert np.abs(small - 127.5).max() < 20  # without antialiasing: 0 or 255


def test_an_image_of_the_right_size_is_not_changed():
    image = np.random.default_rng(0).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize_image(image, 7), image)


def test_a_mask_takes_the_nearest_pixel():
    mask = np.array([[True, False, False, True, False, False]] * 2)
    np.testing.assert_array_equal(resize_mask(mask, 2), [[False, False]] * 2)  # columns 1, 4
    np.testing.assert_array_equal(resize_mask(mask[:, 2:4], 4)[0], [False, False, True, True])


def test_a_mask_of_one_pixel_fills_the_square():
    assert resize_mask(np.ones((1, 1), bool), 3).all()


def test_flip_mirrors_columns():
    view = View(
        np.arange(6, dtype=np.uint8).reshape(1, 2, 3),  # [1, 2, 3]
        np.array([[True, False]]),
        np.array([[False, True]]),
    )
    mirrored = flip_view(view)
    np.testing.assert_array_equal(mirrored.image, [[[3, 4, 5], [0, 1, 2]]])
    np.testing.assert_array_equal(mirrored.mask, [[False, True]])
    np.testing.assert_array_equal(mirrored.void, [[True, False]])


@pytest.mark.parametrize("seed", range(20))
def test_image_mask_and_void_change_together(seed):
    options = AugmentOptions(flip=True, max_scale=3.0)
    view = network_view(blob_view(), 32, np.random.default_rng(seed), options)
    np.testing.assert_array_equal(view.void, ~view.mask)
    bright = view.image[..., 0] > 127
    assert (bright != view.mask).mean() < 0.06  # they differ only along the outline


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_always_holds_some_object(seed):
    view = blob_view()
    view.mask[:] = False
    view.mask[59, 0] = True  # one pixel in a corner
    assert random_crop(view, np.random.default_rng(seed), 8.0).mask.any()


def test_crops_have_all_scales():
    rng = np.random.default_rng(0)
    heights = [random_crop(blob_view(), rng, 3.0).mask.shape[0] for _ in range(300)]
    assert min(heights) <= 22
    assert max(heights) >= 58


def test_a_crop_of_an_image_without_object():
    view = blob_view()
    view.mask[:] = False
    assert random_crop(view, np.random.default_rng(0), 2.0).image.size


def test_half_of_the_images_are_flipped():
    rng = np.random.default_rng(0)
    view = blob_view(64, 64)._replace(mask=np.tri(64, dtype=bool))
    options = AugmentOptions(flip=True)
    kept = [network_view(view, 64, rng, options).mask[32, 0] for _ in range(200)]
    assert 70 < sum(kept) < 130


def test_brightness_multiplies():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    seen = [
        int(jitter(image, np.random.default_rng(s), AugmentOptions(brightness=0.5))[0, 0, 0])
        for s in range(100)
    ]
    assert 50 <= min(seen) < 60
    assert 140 < max(seen) <= 150


def test_contrast_keeps_the_mean():
    image = np.array([[[50] * 3, [150] * 3]], dtype=np.uint8)
    changed = jitter(image, np.random.default_rng(1), AugmentOptions(contrast=0.9)).astype(int)
    assert abs(changed.mean() - 100) <= 1
    assert changed[0, 1, 0] - changed[0, 0, 0] != 100


def test_saturation_leaves_grey_alone():
    image = np.array([[[80, 80, 80], [200, 20, 20]]], dtype=np.uint8)
    changed = jitter(image, np.random.default_rng(1), AugmentOptions(saturation=0.9))
    np.testing.assert_array_equal(changed[0, 0], [80, 80, 80])
    assert (changed[0, 1] != image[0, 1]).any()


def test_without_options_only_the_size_changes():
    view, rng = blob_view(), np.random.default_rng(0)
    plain = network_view(view, 32, rng, AugmentOptions())
    np.testing.assert_array_equal(plain.image, resize_image(view.image, 32))
    np.testing.assert_array_equal(plain.mask, resize_mask(view.mask, 32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (AugmentOptions(max_scale=0.5), r"augment\.max_scale is 0\.5; expected 1"),
        (AugmentOptions(brightness=-0.1), r"augment\.brightness is -0\.1; expected 0"),
        (AugmentOptions(saturation=1.5), r"augment\.saturation is 1\.5"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        check_options(options)
