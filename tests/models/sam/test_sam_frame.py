"""Between an image and SAM's input, on values computed by hand."""

import numpy as np
import pytest

from cosseg_jax.models.sam.frame import (
    MEAN,
    OUTSIDE,
    Frame,
    frame_of,
    to_frame,
    to_image,
    to_input,
    to_mask_prompt,
)


def test_the_long_side_fills_the_square():
    assert frame_of((240, 328), 1024) == Frame((240, 328), (749, 1024), (1024, 1024))
    assert frame_of((3000, 2000), 512) == Frame((3000, 2000), (512, 341), (512, 512))


def test_a_multiple_pads_no_further_than_it_needs():
    assert frame_of((240, 320), 1024, multiple=64).padded == (768, 1024)
    assert frame_of((240, 328), 1024, multiple=64).padded == (768, 1024)
    assert frame_of((320, 240), 1000 - 8, multiple=64).padded == (992, 768)


def test_a_strip_of_one_pixel_stays_one():
    assert frame_of((1, 5000), 256).scaled == (1, 256)


@pytest.mark.parametrize(("image_size", "multiple"), [(1000, None), (1024, 20)])
def test_sizes_that_16_does_not_divide_are_refused(image_size, multiple):
    with pytest.raises(ValueError, match=f"image_size is {image_size} and multiple is {multiple};"):
        frame_of((10, 10), image_size, multiple)


def test_the_input_is_normalised_and_zero_beyond_the_image():
    image = np.broadcast_to(np.uint8([124, 116, 104]), (20, 40, 3))
    pixels = to_input(np.ascontiguousarray(image), frame_of((20, 40), 64))
    assert pixels.shape == (64, 64, 3)
    expected = (np.float32([124, 116, 104]) - MEAN) / np.float32([58.395, 57.12, 57.375])
    np.testing.assert_allclose(pixels[:32], np.broadcast_to(expected, (32, 64, 3)), rtol=1e-6)
    assert not pixels[32:].any()


def test_points_move_with_the_image():
    frame = frame_of((20, 40), 64)
    np.testing.assert_allclose(to_frame([(40, 20), (10, 5)], frame), [[64, 32], [16, 8]])


def test_logits_come_back_where_the_image_is():
    """A ramp across the columns stays one; what lies beyond the image is cut off."""
    frame = frame_of((32, 64), 64)
    logits = np.full((2, 16, 16), 99, np.float32)
    logits[:, :9] = 4 * np.arange(16)[None, None] + 1.5  # the value of x at a cell's centre
    found = to_image(logits, frame)
    assert found.shape == (2, 32, 64)
    ramp = np.clip(np.arange(64), 1.5, 61.5)  # borders repeat
    np.testing.assert_allclose(found[1], np.broadcast_to(ramp, (32, 64)), rtol=1e-5)


def test_logits_are_resized_to_the_image_without_smoothing():
    """From 64 pixels to 32: halfway between the two pixels that lie there."""
    cells = np.random.default_rng(0).standard_normal((16, 16)).astype(np.float32)
    fine = to_image(cells, Frame((64, 64), (64, 64), (64, 64)))
    found = to_image(cells, Frame((32, 32), (64, 64), (64, 64)))
    halves = fine.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found, halves, atol=1e-6)


def test_a_mask_becomes_a_prompt_of_the_frames_size():
    frame = frame_of((20, 40), 64)
    mask = to_mask_prompt(np.full((20, 40), 3.0), frame)
    assert mask.shape == (16, 16)
    assert (mask[:8] == 3).all()
    assert (mask[8:] == OUTSIDE).all()
