"""Contact sheets: the positions of tiles and the meaning of colours."""

import numpy as np

from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.predict.drawing import (
    COLD,
    STRIPE,
    TILE_GAP,
    TINT,
    VOID_GREYS,
    WARM,
    Row,
    colour_prior,
    hatched,
    sheet,
    tiles_of,
    tinted,
    wrapped,
)

SIDE = 20
TILE = SIDE + TILE_GAP


def row(level: int, prior: float = 0.0, probability: float = 0.0, truth: bool = False) -> Row:
    """An image of one grey level, wider than high."""
    return Row(
        image=np.full((10, 30, 3), level, np.uint8),
        prior=np.full((2, 3), prior, np.float32),
        probability=np.full((8, 8), probability, np.float32),
        truth=np.full((10, 30), truth),
    )


def tile(picture: np.ndarray, line: int, column: int) -> np.ndarray:
    """One tile of a sheet, without the gap beside it."""
    return picture[line * TILE :, column * TILE :][:SIDE, :SIDE]


def test_an_image_is_a_column():
    picture = sheet([row(10), row(20), row(30)], side=SIDE)
    assert picture.shape == (4 * TILE, 3 * TILE, 3)
    assert picture.dtype == np.uint8
    for column, level in enumerate((10, 20, 30)):
        assert (tile(picture, 0, column) == level).all()


def test_prior_probability_and_truth_are_below_the_image():
    picture = sheet([row(100, prior=2.0, probability=0.2, truth=True)], side=SIDE)
    expected = (100, WARM, 51, 0.55 * 100 + 0.45 * TINT)
    for line, colour in enumerate(expected):
        wanted = np.broadcast_to(np.int64(colour), 3)
        assert (tile(picture, line, 0) == wanted[None, None]).all()


def test_a_column_has_the_given_tile_size():
    assert tiles_of(row(10), (SIDE, 30)).shape == (4 * TILE, 30 + TILE_GAP, 3)


def test_columns_wrap_and_the_last_line_is_filled_with_white():
    columns = [np.full((2, width, 3), 7, np.uint8) for width in (3, 4, 5)]
    picture = wrapped(columns, per_line=2)
    assert picture.shape == (4, 7, 3)
    assert (picture[:2] == 7).all()
    assert (picture[2:, :5] == 7).all()
    assert (picture[2:, 5:] == 255).all()


def test_gaps_are_white():
    picture = sheet([row(0)], side=SIDE)
    gap = np.ones(picture.shape[:2], bool)
    for line in range(4):
        gap[line * TILE :][:SIDE, :SIDE] = False
    assert (picture[gap] == 255).all()


def test_the_prior_is_blue_below_zero_white_at_zero_red_above():
    for value, colour in ((-2, COLD), (0, [255] * 3), (2, WARM), (9, WARM), (-9, COLD)):
        picture = colour_prior(np.full((1, 1), value, np.float32), (3, 3))
        assert (picture == np.int64(colour)[None, None]).all()
    pale = colour_prior(np.full((1, 1), 1, np.float32), (1, 1))[0, 0]
    np.testing.assert_allclose(pale, (255 + WARM) / 2, atol=1)


def test_the_prior_does_not_overshoot_beside_an_edge():
    """Zero stays white: an interpolation that overshoots would make it blue beside the red."""
    prior = np.zeros((4, 4), np.float32)
    prior[:, 2:] = 1
    left = colour_prior(prior, (40, 40))[:, :10]
    assert (left == 255).all()


def test_an_image_is_darkened_outside_its_mask():
    image = np.full((2, 2, 3), 200, np.uint8)
    mask = np.array([[True, False], [False, False]])
    picture = tinted(image, mask)
    np.testing.assert_array_equal(picture[0, 0], (110 + 0.45 * TINT).astype(np.uint8))
    assert (picture[~mask] == 90).all()


def test_the_truth_tile_shows_the_mask_at_its_place():
    made = row(100)
    made.truth[:5, :15] = True
    picture = tile(sheet([made], side=SIDE), 3, 0)
    green = picture[..., 1] > picture[..., 0]
    wanted = np.zeros((SIDE, SIDE), bool)
    wanted[: SIDE // 2, : SIDE // 2] = True
    np.testing.assert_array_equal(green, wanted)


def test_void_is_hatched_and_the_rest_is_unchanged():
    image = np.full((12, 12, 3), 77, np.uint8)
    void = np.zeros((12, 12), bool)
    void[:, 6:] = True
    picture = hatched(image, void)
    assert (picture[:, :6] == 77).all()
    for row, column in ((0, 6), (5, 10), (11, 11)):
        stripe = (row + column) // STRIPE % 2
        assert (picture[row, column] == VOID_GREYS[stripe]).all()


def test_sizes_are_height_and_width():
    image = np.zeros((10, 20, 3), np.uint8)
    assert resized(image, (5, 30)).shape == (5, 30, 3)
    assert colour_prior(np.zeros((2, 2), np.float32), (5, 30)).shape == (5, 30, 3)


def test_a_smaller_mask_holds_pixels_covered_by_half():
    mask = np.zeros((4, 40), bool)
    mask[:, :19] = True  # 4.75 of the 10 columns below
    wanted = np.arange(10) < 5
    np.testing.assert_array_equal(resized_mask(mask, (1, 10))[0], wanted)
    np.testing.assert_array_equal(resized_mask(~mask, (1, 10))[0], ~wanted)
