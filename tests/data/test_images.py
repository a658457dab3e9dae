"""Photographs, label files and masks of every mode that is met in the wild."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from cosseg_jax.data.images import (
    decode_image,
    decode_labels,
    decode_mask,
    encode_labels,
    reopenable,
    turned_like,
)
from cosseg_jax.errors import UserError

GREY = np.array([[0, 60], [120, 255]], dtype=np.uint8)


def encoded(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def test_grey_photograph_becomes_rgb():
    decoded = decode_image(encoded(Image.fromarray(GREY)))
    np.testing.assert_array_equal(decoded, np.stack([GREY] * 3, axis=-1))


def test_palette_photograph_shows_its_colours():
    picture = Image.frombytes("P", (2, 1), bytes([1, 0]))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    np.testing.assert_array_equal(decode_image(encoded(picture)), [[[200, 100, 50], [10, 20, 30]]])


def test_transparent_colours_of_a_palette_are_shown():
    picture = Image.frombytes("P", (2, 1), bytes([1, 0]))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    decoded = decode_image(encoded(picture, transparency=bytes([0, 128])))
    np.testing.assert_array_equal(decoded, [[[200, 100, 50], [10, 20, 30]]])


def test_sixteen_bit_photograph_keeps_its_high_byte():
    picture = Image.fromarray(np.array([[0, 256 * 7 + 255, 65535]], dtype=np.uint16))
    np.testing.assert_array_equal(decode_image(encoded(picture))[0, :, 1], [0, 7, 255])


def test_a_photograph_of_floats_is_refused_since_its_range_is_unknown():
    picture = Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32))
    with pytest.raises(ValueError, match=r"a\.tif has floating-point pixels.* 8 or 16 bits"):
        decode_image(encoded(picture, "TIFF"), "a.tif")


def test_cmyk_photograph_becomes_rgb():
    picture = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red ink
    red, green, blue = decode_image(encoded(picture, "JPEG", quality=100))[4, 4]
    assert red > 240
    assert max(green, blue) < 15


def test_alpha_of_a_photograph_is_dropped():
    picture = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    np.testing.assert_array_equal(decode_image(encoded(picture)), [[[10, 20, 30]]])


def test_photograph_is_turned_upright():
    picture = Image.fromarray(GREY[:1])  # 0, 60 from left to right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    np.testing.assert_array_equal(decode_image(encoded(picture, exif=exif))[..., 0], [[0], [60]])


def test_path_and_bytes_decode_alike(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(GREY)))
    by_path = decode_image(tmp_path / "a.png")
    np.testing.assert_array_equal(by_path, decode_image((tmp_path / "a.png").read_bytes()))


@pytest.mark.parametrize("decode", [decode_image, decode_labels, decode_mask])
def test_truncated_file_is_named(decode, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    file = tmp_path / "half.png"
    file.write_bytes(encoded(Image.fromarray(noise))[:2000])
    with pytest.raises(ValueError, match=r"half\.png does not decode"):
        decode(file)


def test_file_that_is_no_image_is_named():
    with pytest.raises(ValueError, match="cat/one does not decode"):
        decode_image(b"not an image", "cat/one")


def test_an_empty_file_is_told_to_be_empty():
    with pytest.raises(ValueError, match=r"cat/one does not decode as an image \(it is empty\)"):
        decode_image(b"", "cat/one")


def test_whatever_a_reader_raises_the_file_is_named(monkeypatch):
    def broken(*_):
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(ValueError, match=r"cat/one does not decode as an image \(unpack requires"):
        decode_image(b"bytes", "cat/one")


def test_too_many_pixels_are_named_and_what_to_do(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"cat/one has more pixels than are read .* smaller"):
        decode_image(encoded(Image.new("L", (7, 3))), "cat/one")


def test_labels_are_the_palettes_indices():
    picture = Image.frombytes("P", (3, 1), bytes([0, 15, 255]))
    picture.putpalette([9, 9, 9] * 256)
    np.testing.assert_array_equal(decode_labels(encoded(picture)), [[0, 15, 255]])


def test_colour_labels_are_refused():
    with pytest.raises(ValueError, match="mode RGB; expected indices"):
        decode_labels(encoded(Image.new("RGB", (2, 2))))


MASK = np.array([[False, True, True], [False, False, True]])


@pytest.mark.parametrize("peak", [1, 38, 255])
def test_grey_mask_of_any_peak(peak):
    picture = Image.fromarray((MASK * peak).astype(np.uint8))
    np.testing.assert_array_equal(decode_mask(encoded(picture)), MASK)


def test_coloured_mask():
    picture = Image.fromarray(MASK[..., None] * np.array([128, 0, 0], dtype=np.uint8))
    np.testing.assert_array_equal(decode_mask(encoded(picture)), MASK)


def test_palette_mask_goes_by_colour_not_by_index():
    picture = Image.frombytes("P", (3, 2), (~MASK).astype(np.uint8).tobytes())
    picture.putpalette([255, 255, 255, 0, 0, 0])  # index 0 is white
    np.testing.assert_array_equal(decode_mask(encoded(picture)), MASK)


def test_mask_in_the_alpha_channel():
    rgba = np.full((2, 3, 4), 200, dtype=np.uint8)
    rgba[..., 3] = MASK * 255
    np.testing.assert_array_equal(decode_mask(encoded(Image.fromarray(rgba))), MASK)


def test_sixteen_bit_mask():
    picture = Image.fromarray((MASK * 65535).astype(np.uint16))
    np.testing.assert_array_equal(decode_mask(encoded(picture)), MASK)


def test_noise_in_a_lossy_black_mask_is_background():
    dark = np.zeros((8, 8), dtype=np.uint8)
    dark[:4] = 6
    assert not decode_mask(encoded(Image.fromarray(dark), "JPEG")).any()


def test_black_mask_is_empty():
    assert not decode_mask(encoded(Image.new("1", (4, 4)))).any()


def test_encoded_labels_come_back():
    labels = np.array([[0, 1, 255], [7, 0, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(decode_labels(encode_labels(labels)), labels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_turn_as_their_photograph_does(tmp_path, orientation):
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)  # [2, 3]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = decode_image(tmp_path / "a.png")[..., 0]
    turned = turned_like(stored, tmp_path / "a.png")
    np.testing.assert_array_equal(turned, upright if orientation > 4 else stored)


def test_paths_and_bytes_are_read_again(tmp_path, monkeypatch):
    content = encoded(Image.fromarray(GREY))
    (tmp_path / "a.png").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    kept = [reopenable("a.png", "a"), reopenable(content, "1")]
    monkeypatch.chdir("/")  # a relative path still leads to its file
    for image in kept:
        np.testing.assert_array_equal(image.read()[..., 0], GREY)


@pytest.mark.parametrize("make", [np.copy, Image.fromarray], ids=["array", "PIL"])
def test_an_image_in_memory_is_read_again_while_it_lives(make):
    source = make(GREY)
    kept = reopenable(source, "3")
    np.testing.assert_array_equal(kept.read()[..., 0], GREY)
    del source
    with pytest.raises(UserError, match=r"image 3 was given as an? .* that no longer exists; keep"):
        kept.read()


def test_the_images_of_one_array_live_as_long_as_it_does():
    stack = np.stack([GREY, 255 - GREY])
    kept = [reopenable(view[:, ::-1], str(number)) for number, view in enumerate(stack)]
    np.testing.assert_array_equal(kept[1].read()[..., 0], 255 - GREY[:, ::-1])
    del stack
    with pytest.raises(UserError, match="image 1 was given as an array that no longer exists"):
        kept[1].read()


def test_a_pil_image_that_is_gone_is_read_from_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(GREY)))
    with Image.open(tmp_path / "a.png") as source:
        kept = reopenable(source, "1")
        source.load()
    del source
    assert kept.live() is None
    np.testing.assert_array_equal(kept.read()[..., 0], GREY)


def test_a_pil_image_resized_in_place_is_not_taken_for_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(GREY)))
    with Image.open(tmp_path / "a.png") as source:
        source.thumbnail((1, 1))
    kept = reopenable(source, "1")
    assert kept.read().shape == (1, 1, 3)
    del source
    with pytest.raises(UserError, match="image 1 was given as a PIL image that no longer exists"):
        kept.read()
