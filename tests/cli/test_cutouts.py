"""Masks and cut-outs as the options say."""

import numpy as np
import pytest

from cosseg_jax.cli.cutouts import connected_parts, cutout, with_looks
from cosseg_jax.cli.looks import Looks, looks_of
from cosseg_jax.cli.main import make_parser

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
RING = np.zeros((12, 16), bool)
RING[2:7, 3:9] = True
RING[4, 5] = False  # a hole
RING[10, 14] = True  # a speck


def test_without_options_the_object_is_on_a_transparent_ground():
    drawn = cutout(IMAGE, RING)
    np.testing.assert_array_equal(drawn[..., 3] == 255, RING)
    np.testing.assert_array_equal(drawn[RING, :3], IMAGE[RING])
    assert not drawn[~RING].any()
    assert with_looks(RING, Looks()) is RING


def test_the_largest_part_without_holes():
    largest = with_looks(RING, Looks(keep_largest=True))
    assert (largest.sum(), largest[10, 14], largest[4, 5]) == (29, False, False)
    assert with_looks(RING, Looks(fill_holes=True)).sum() == 31
    whole = with_looks(RING, Looks(keep_largest=True, fill_holes=True))
    assert whole.sum() == 30
    empty = np.zeros((3, 4), bool)
    assert not with_looks(empty, Looks(keep_largest=True, fill_holes=True)).any()


def test_parts_are_sorted_and_small_ones_left_out():
    assert [part.sum() for part in connected_parts(RING)] == [29, 1]
    assert [part.sum() for part in connected_parts(RING, least=2.0)] == [29]
    assert [part.sum() for part in connected_parts(RING, least=99.0)] == [29]


def test_a_cropped_cut_out_has_the_size_of_the_object():
    mask = with_looks(RING, Looks(keep_largest=True))
    drawn = cutout(IMAGE, mask, Looks(crop=True))
    np.testing.assert_array_equal(drawn, cutout(IMAGE, mask)[2:7, 3:9])
    assert cutout(IMAGE, np.zeros_like(mask), Looks(crop=True)).shape == (12, 16, 4)


@pytest.mark.parametrize(("colour", "value"), [("white", (255,) * 3), ("#20c040", (32, 192, 64))])
def test_a_coloured_ground(colour, value):
    drawn = cutout(IMAGE, RING, Looks(background=colour))
    assert (drawn[~RING] == value).all()
    np.testing.assert_array_equal(drawn[RING], IMAGE[RING])


def test_a_blurred_ground_is_the_photo_itself():
    photo = np.repeat(IMAGE[:, :, :1], 3, axis=2)
    drawn = cutout(photo, RING, Looks(background="blur"))
    np.testing.assert_array_equal(drawn[RING], photo[RING])
    even = np.full((40, 40, 3), 77, np.uint8)
    mask = np.zeros((40, 40), bool)
    assert (cutout(even, mask, Looks(background="blur")) == 77).all()


def test_options_are_read():
    line = "segment a --out b --keep-largest --fill-holes --crop --background white"
    assert looks_of(make_parser().parse_args(line.split())) == Looks(True, True, True, "white")
    assert looks_of(make_parser().parse_args(["apply", "x.concept", "a", "--out", "b"])) == Looks()


def test_an_unknown_colour_is_refused(capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["segment", "a", "--out", "b", "--background", "whiet"])
    assert "'whiet' is no background; give transparent, blur, or a" in capsys.readouterr().err
