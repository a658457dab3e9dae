"""Label files, and masks in every way in which people draw them."""

import numpy as np
import pytest
from absl import logging
from made_images import deep_png, encoded, palette_image
from PIL import Image, ImageDraw

from cosseg_jax.data.images import decode_image
from cosseg_jax.data.masks import (
    decode_labels,
    decode_mask,
    decode_object,
    encode_labels,
    turned_like,
)
from cosseg_jax.errors import UserError

MASK = np.array([[False, True, True], [False, False, True]])
VOC = {1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 9: (192, 0, 0), 255: (224, 224, 192)}


@pytest.fixture
def told(monkeypatch):
    """What warnings say, a text for each."""
    texts = []
    monkeypatch.setattr(
        logging, "log_first_n", lambda level, text, most, *args: texts.append(text % args)
    )
    return texts


def id_squares(ids) -> np.ndarray:
    """A 4 x 4 square of each id, on 0."""
    found = np.zeros((6, 6 * len(ids)), np.int64)
    for place, value in enumerate(ids):
        found[1:5, 6 * place + 1 : 6 * place + 5] = value
    return found


def soft_disc(dtype=np.uint8) -> np.ndarray:
    """A white disc with a soft edge."""
    image = Image.new("L", (256, 256))
    ImageDraw.Draw(image).ellipse((40, 40, 200, 220), fill=255)
    return np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR), dtype)


# Label files


def test_labels_are_the_indices_of_a_palette():
    image = palette_image([[0, 15, 255]], {0: (9, 9, 9), 15: (9, 9, 9)})
    np.testing.assert_array_equal(decode_labels(encoded(image)), [[0, 15, 255]])


def test_coloured_labels_are_refused():
    with pytest.raises(UserError, match="mode RGB; expected indices"):
        decode_labels(encoded(Image.new("RGB", (2, 2))))


def test_encoded_labels_come_back():
    labels = np.array([[0, 1, 255], [7, 0, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(decode_labels(encode_labels(labels)), labels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_labels_and_masks_turn_as_their_image_does(tmp_path, orientation, dtype):
    stored = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)  # [2, 3]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    upright = decode_image(tmp_path / "a.png")[..., 0]
    expected = upright if orientation > 4 else stored
    for image in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        turned = turned_like(stored.astype(dtype), image)
        np.testing.assert_array_equal(turned, expected.astype(dtype))


def test_turning_like_a_truncated_image_names_it(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    (tmp_path / "half.png").write_bytes(encoded(noise)[:2000])
    with pytest.raises(UserError, match=r"half\.png does not decode"):
        turned_like(MASK, tmp_path / "half.png")


# Masks of two values


@pytest.mark.parametrize("peak", [1, 38, 255])
def test_a_grey_mask_of_any_peak(peak):
    np.testing.assert_array_equal(decode_mask(encoded((MASK * peak).astype(np.uint8))), MASK)


def test_a_coloured_mask():
    mask = MASK[..., None] * np.array([128, 0, 0], dtype=np.uint8)
    np.testing.assert_array_equal(decode_mask(encoded(mask)), MASK)


def test_a_mask_of_sixteen_bits_and_of_floats():
    np.testing.assert_array_equal(decode_mask(deep_png(MASK * 65535)), MASK)
    np.testing.assert_array_equal(decode_mask(encoded(MASK.astype(np.float32), "TIFF")), MASK)


def test_a_black_mask_has_no_object_and_a_white_one_nothing_else():
    assert not decode_mask(encoded(Image.new("1", (4, 4)))).any()
    assert decode_mask(encoded(Image.new("1", (4, 4), 1))).all()


def test_a_mask_that_is_not_finite_is_refused():
    values = np.array([[0, np.nan]], np.float32)
    with pytest.raises(UserError, match=r"m\.tif has values that are NaN or infinite"):
        decode_mask(encoded(values, "TIFF"), "m.tif")


def test_a_truncated_mask_is_named():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    with pytest.raises(UserError, match=r"half\.png does not decode"):
        decode_mask(encoded(noise)[:2000], "half.png")


# Palettes and ids


@pytest.mark.parametrize("ids", [(1, 2, 8, 9), (1, 8), (9,)])
def test_every_index_but_0_of_a_palette_is_the_object(ids, told):
    squares = id_squares(ids)
    found = decode_mask(encoded(palette_image(squares, VOC)), "m.png")
    np.testing.assert_array_equal(found, squares > 0)
    assert len(told) == (len(ids) > 1)


def test_dark_indices_of_a_palette_are_the_object():
    """A label's colour says nothing, not even that it is the background's."""
    image = palette_image(id_squares((1, 2)), {1: (255, 255, 0), 2: (0, 0, 40)})
    np.testing.assert_array_equal(decode_mask(encoded(image)), id_squares((1, 2)) > 0)


def test_the_last_index_of_vocs_palette_is_void(told):
    squares = id_squares((2, 255))
    found = decode_object(encoded(palette_image(squares, VOC)))
    np.testing.assert_array_equal(found, np.select([squares == 2, squares == 255], [1, 255]))
    assert not told


def test_without_vocs_palette_the_last_index_is_the_object():
    squares = id_squares((2, 255))
    image = palette_image(squares, VOC | {255: (10, 200, 10)})
    np.testing.assert_array_equal(decode_object(encoded(image)), squares > 0)


def test_vocs_colours_without_the_palette():
    squares = id_squares((8, 9, 255))
    image = palette_image(squares, VOC).convert("RGB")
    found = decode_object(encoded(image))
    np.testing.assert_array_equal(found, np.select([squares == 255, squares > 0], [255, 1]))


def test_black_is_the_background_of_a_palette_that_was_sorted_anew():
    image = palette_image((~MASK).astype(np.uint8), {0: (200, 0, 0), 1: (0, 0, 0)})
    np.testing.assert_array_equal(decode_mask(encoded(image)), MASK)


def test_a_black_and_white_palette_goes_by_its_colours():
    image = palette_image((~MASK).astype(np.uint8), {0: (255, 255, 255)})
    np.testing.assert_array_equal(decode_mask(encoded(image)), MASK)


@pytest.mark.parametrize("ids", [(1, 2, 3, 4), (40, 200, 255), range(1, 60)])
def test_every_grey_id_but_0_is_the_object(ids, told):
    squares = id_squares(ids)
    found = decode_mask(encoded(squares.astype(np.uint8)), "ids.png")
    np.testing.assert_array_equal(found, squares > 0)
    assert len(told) == 1
    assert told[0].startswith(f"mask ids.png has the values 0, {ids[0]}, {ids[1]}, {ids[2]}")
    assert "every value but 0 is the object" in told[0]


def test_ids_of_sixteen_bits():
    squares = id_squares((24_001, 24_002, 33_000))
    np.testing.assert_array_equal(decode_mask(deep_png(squares)), squares > 0)


# Soft edges, probability maps, lossy files


def test_a_soft_edge_is_cut_in_its_middle(told):
    np.testing.assert_array_equal(decode_mask(encoded(soft_disc())), soft_disc() > 127)
    assert not told


def test_a_probability_map_is_cut_at_one_half_and_told_of(told):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 40, axis=0)
    np.testing.assert_array_equal(decode_mask(encoded(ramp), "p.png"), ramp > 127)
    assert told[0].startswith(
        "mask p.png has the values 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 to 255; taken"
    )


def test_a_photo_given_as_a_mask_is_told_of(told):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    decode_mask(encoded(noise), "photo.png")
    assert told[0].startswith("mask photo.png has the values")


@pytest.mark.parametrize("peak", [30, 60, 100, 255])
def test_a_lossy_mask_of_any_peak(peak, told):
    disc = soft_disc() > 127
    content = encoded((peak * disc).astype(np.uint8), "JPEG", quality=90)
    assert (decode_mask(content, "m.jpg") != disc).mean() < 0.01
    assert len(told) == (peak < 128)


def test_noise_in_a_lossy_black_mask_is_background_and_told_of(told):
    dark = np.zeros((8, 8), dtype=np.uint8)
    dark[:4] = 6
    assert not decode_mask(encoded(dark, "JPEG"), "m.jpg").any()
    assert "taken as: no object" in told[0]


# Cut-outs


@pytest.mark.parametrize("colour", [(0, 0, 0), (200, 200, 200)], ids=["dark", "bright"])
def test_the_alpha_of_a_cutout_is_the_mask(colour):
    rgba = np.full((2, 3, 4), (*colour, 0), dtype=np.uint8)
    rgba[..., 3] = MASK * 255
    np.testing.assert_array_equal(decode_mask(encoded(rgba)), MASK)


def test_grey_and_palette_cutouts():
    grey = np.stack([np.zeros_like(MASK), 255 * MASK], axis=-1).astype(np.uint8)
    np.testing.assert_array_equal(decode_mask(encoded(Image.fromarray(grey, "LA"))), MASK)
    palette = palette_image(MASK.astype(np.uint8), {0: (9, 9, 9), 1: (5, 0, 0)})
    np.testing.assert_array_equal(decode_mask(encoded(palette, transparency=0)), MASK)


def test_a_cutout_of_nothing_has_no_object():
    assert not decode_mask(encoded(Image.new("RGBA", (4, 4), (90, 90, 90, 0)))).any()


@pytest.mark.parametrize("opacity", [255, 128])
def test_where_all_is_alike_opaque_colours_are_the_mask(opacity):
    rgba = np.full((2, 3, 4), opacity, np.uint8)
    rgba[..., :3] = 255 * MASK[..., None]
    np.testing.assert_array_equal(decode_mask(encoded(rgba)), MASK)
