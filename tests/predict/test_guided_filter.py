"""Guided upsampling on pictures whose edges are known, and the figure that measures outlines."""

import numpy as np
import pytest

from cosseg_jax.data.resizing import resized
from cosseg_jax.evaluation.boundary import boundary_f, outline
from cosseg_jax.predict.guided_filter import refined

SIDE, HEIGHT, WIDTH = 32, 150, 210


@pytest.fixture(scope="module")
def disc():
    """A red disc on green, its mask, and a probability that is blurred and a little off."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    truth = (rows - 70) ** 2 + (columns - 100) ** 2 < 45**2
    image = np.where(truth[..., None], [200, 40, 40], [30, 160, 60]).astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 20, image.shape, dtype=np.uint8)
    off = (rows - 74) ** 2 + (columns - 106) ** 2 < 45**2
    return image, truth, np.clip(resized(off.astype(np.float32), (SIDE, SIDE)), 0, 1)


def jaccard(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_edges_move_to_the_images_own(disc):
    image, truth, probability = disc
    plain = resized(probability, (HEIGHT, WIDTH)) > 0.5
    mask = refined(probability, image) > 0.5
    valid = np.ones_like(truth)
    assert jaccard(mask, truth) > 0.95 > 0.9 > jaccard(plain, truth)
    assert boundary_f(mask, truth, valid) > boundary_f(plain, truth, valid) + 0.2


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_constant_stays_as_it_is(disc, value):
    found = refined(np.full((SIDE, SIDE), value, np.float32), disc[0])
    np.testing.assert_allclose(found, value, atol=1e-5)


def test_on_an_image_of_one_colour_the_probability_is_blurred_only(disc):
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    found = refined(disc[2], image, radius=0.01)
    assert found.shape == (HEIGHT, WIDTH)
    assert found.mean() == pytest.approx(disc[2].mean(), abs=0.01)


def test_an_image_of_one_pixel():
    found = refined(np.full((SIDE, SIDE), 0.7, np.float32), np.zeros((1, 1, 3), np.uint8))
    np.testing.assert_allclose(found, [[0.7]], atol=1e-5)


@pytest.mark.parametrize("options", [{"radius": 0.0}, {"epsilon": -1.0}])
def test_bad_options(disc, options):
    with pytest.raises(ValueError, match="both must be above 0"):
        refined(disc[2], disc[0], **options)


# Boundary F, by hand: outlines of squares shifted by k pixels


def test_boundary_f_of_a_shifted_square():
    truth = np.zeros((100, 100), bool)
    truth[20:60, 20:60] = True
    valid = np.ones_like(truth)
    assert boundary_f(truth, truth, valid) == 1
    shifted = np.roll(truth, 5, axis=1)
    # Of 156 pixels of outline the 2 x 40 upright ones are 5 away, but for 1 + 1 ends of each side
    # that lie near the other's level edges; the level ones are 0 away, but for 5 of each edge.
    reach = 1.2 / np.hypot(100, 100)
    level = 2 * 36  # of 2 x 40, those in both; one more of each within reach is upright's end
    assert boundary_f(shifted, truth, valid, reach) == pytest.approx(level / 156, abs=0.03)
    assert boundary_f(shifted, truth, valid, 6 / np.hypot(100, 100)) == 1


def test_outlines_do_not_follow_the_frame_nor_void():
    mask = np.zeros((10, 10), bool)
    mask[:, :4] = True
    assert outline(mask).sum() == 10
    valid = np.ones_like(mask)
    valid[:, 3] = False
    assert boundary_f(mask, np.zeros_like(mask), valid) == 1
    assert boundary_f(mask, np.zeros_like(mask), np.ones_like(mask)) == 0
