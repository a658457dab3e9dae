"""Images of every mode as 8-bit sRGB."""

import numpy as np
import pytest
from made_images import GREY, deep_png, encoded, palette_image, rgb_profile
from PIL import Image

from cosseg_jax.data import colours
from cosseg_jax.data.colours import to_srgb
from cosseg_jax.data.images import decode_image
from cosseg_jax.errors import UserError

# From linear RGB to XYZ, adapted to D50, as the profiles state it.
SRGB_TO_XYZ = np.array(
    [[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]]
)
P3_TO_XYZ = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
PROPHOTO_TO_XYZ = np.array(
    [[0.79767, 0.13519, 0.03135], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82511]]
)


def test_grey_becomes_rgb():
    np.testing.assert_array_equal(decode_image(encoded(GREY)), np.stack([GREY] * 3, axis=-1))


def test_a_palette_shows_its_colours():
    image = palette_image([[1, 0]], {0: (10, 20, 30), 1: (200, 100, 50)})
    np.testing.assert_array_equal(decode_image(encoded(image)), [[[200, 100, 50], [10, 20, 30]]])


def test_transparent_colours_of_a_palette_are_shown():
    image = palette_image([[1, 0]], {0: (10, 20, 30), 1: (200, 100, 50)})
    decoded = decode_image(encoded(image, transparency=bytes([0, 128])))
    np.testing.assert_array_equal(decoded, [[[200, 100, 50], [10, 20, 30]]])


def test_floats_are_refused_since_their_range_is_unknown():
    content = encoded(np.array([[0.0, 1.0]], dtype=np.float32), "TIFF")
    with pytest.raises(UserError, match=r"a\.tif has floating-point pixels.* 8 or 16 bits"):
        decode_image(content, "a.tif")


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))  # red ink
    red, green, blue = decode_image(encoded(image, "JPEG", quality=100))[4, 4]
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped(mode):
    image = Image.new(mode, (1, 1), (50, 50, 50, 0)[-len(mode) :])
    np.testing.assert_array_equal(decode_image(encoded(image)), [[[50, 50, 50]]])


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1"])
def test_large_images_are_copied_in_strips(monkeypatch, mode):
    noise = np.random.default_rng(0).integers(0, 256, (23, 17, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    monkeypatch.setattr(colours, "STRIP_PIXELS", 5 * 17)
    decoded = to_srgb(image, "a")
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))
    assert decoded.flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY, -1),  # a quarter to the right
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY),
    }
    decoded = decode_image(encoded(GREY, exif=exif))[..., 0]
    np.testing.assert_array_equal(decoded, turned[orientation])


@pytest.mark.parametrize(
    ("values", "bits", "shown"),
    [
        ([0, 256 * 7 + 255, 65535], None, [0, 7, 255]),
        ([0, 16 * 7 + 15, 4095], None, [0, 7, 255]),  # 12 bits, as of microscopes
        ([0, 64 * 7, 16383], None, [0, 7, 255]),
        ([0, 7, 255], None, [0, 7, 255]),
        ([0, 16 * 7, 900], 12, [0, 7, 56]),  # dark, but the file states 12 bits
        ([0, 256 * 7, 65520], 12, [0, 7, 255]),  # states 12 bits and has them scaled already
        ([0, 0, 0], None, [0, 0, 0]),
    ],
)
def test_deep_grey_is_scaled_by_its_bits(values, bits, shown):
    decoded = decode_image(deep_png(np.array([values]), bits))
    np.testing.assert_array_equal(decoded[0, :, 1], shown)


def test_twelve_packed_bits_of_a_tiff():
    """Pillow cannot write them: two samples of 12 bits, 0x123 and 0xFF0, in three bytes."""
    entries = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    entries.append((279, 3))
    content = b"II*\0" + (12).to_bytes(4, "little") + b"\x12\x3f\xf0\0"
    content += len(entries).to_bytes(2, "little")
    for tag, value in entries:
        content += tag.to_bytes(2, "little") + b"\3\0\1\0\0\0" + value.to_bytes(4, "little")
    decoded = decode_image(content + bytes(4))
    np.testing.assert_array_equal(decoded[0, :, 0], [0x12, 0xFF])


def srgb_to_linear(pixel):
    value = np.asarray(pixel) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value):
    return 255 * np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("pixel", [(200, 40, 50), (90, 160, 60), (128, 128, 128), (255, 255, 255)])
@pytest.mark.parametrize(
    ("to_xyz", "gamma"), [(P3_TO_XYZ, None), (PROPHOTO_TO_XYZ, 1.8)], ids=["P3", "ProPhoto"]
)
def test_colours_with_a_profile_become_srgb(pixel, to_xyz, gamma):
    linear = np.linalg.solve(to_xyz, SRGB_TO_XYZ @ srgb_to_linear(pixel)).clip(0, 1)
    stored = linear_to_srgb(linear) if gamma is None else 255 * linear ** (1 / gamma)
    image = np.full((4, 4, 3), np.round(stored), np.uint8)
    profile = rgb_profile(to_xyz, gamma)
    decoded = decode_image(encoded(image, icc_profile=profile))
    np.testing.assert_allclose(decoded.astype(int), np.full((4, 4, 3), pixel), atol=2)
    if len(set(pixel)) > 1:
        assert np.abs(image.astype(int) - pixel).max() > 10  # without the profile


def test_alpha_and_palette_images_have_profiles_too():
    profile = rgb_profile(P3_TO_XYZ, None)
    plain = decode_image(encoded(Image.new("RGB", (1, 1), (184, 56, 57)), icc_profile=profile))
    with_alpha = encoded(Image.new("RGBA", (1, 1), (184, 56, 57, 9)), icc_profile=profile)
    palette = encoded(palette_image([[0]], {0: (184, 56, 57)}), icc_profile=profile)
    np.testing.assert_allclose(plain[0, 0].astype(int), (200, 40, 50), atol=2)
    np.testing.assert_array_equal(decode_image(with_alpha), plain)
    np.testing.assert_array_equal(decode_image(palette), plain)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", b"no profile"), ("L", rgb_profile(P3_TO_XYZ, None)), ("RGB", b"\0" * 200)],
)
def test_broken_profiles_and_those_of_other_modes_are_ignored(mode, profile):
    image = Image.new(mode, (1, 1), 90 if mode == "L" else (90, 90, 90))
    decoded = decode_image(encoded(image, "JPEG", quality=100, icc_profile=profile))
    np.testing.assert_array_equal(decoded, [[[90, 90, 90]]])
