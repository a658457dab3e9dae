"""The losses by hand and against pixel-by-pixel loops."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.train.losses import (
    SEG_WEIGHTINGS,
    category_loss,
    cell_shares,
    dice_loss,
    segmentation_loss,
    semantic_loss,
    total_loss,
)
from cosseg_jax.types import GroupBatch, Iteration, Prediction, SpatialPrior

SHAPE = (2, 3, 4, 5)
LN2 = math.log(2)


def row(*values) -> np.ndarray:
    """One group of one image, one row high."""
    return np.array(values)[None, None, None]  # [1, 1, 1, W]


@pytest.fixture(scope="module")
def pixels():
    """Logits, masks with another share in each image, and void pixels; one image has none."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0.1, 0.9, (*SHAPE[:2], 1, 1))
    masks = (rng.random(SHAPE) < share).astype(np.float32)
    valid = rng.random(SHAPE) < 0.8
    valid[0, 0] = True
    return jnp.asarray(rng.normal(0, 2, SHAPE), jnp.float32), masks, valid


def slow_loss(logits, masks, valid, weighting: str) -> float:
    """Eq. 13 with the right sign, one image and one pixel after another."""
    images = []
    for image in np.ndindex(*logits.shape[:2]):
        known = [
            (1 / (1 + math.exp(-logits[image][i])), masks[image][i])
            for i in np.ndindex(*logits.shape[2:])
            if valid[image][i]
        ]
        delta = sum(truth for _, truth in known) / len(known)
        positive, negative = {
            "paper": (delta, 1 - delta),
            "balanced": (1 - delta, delta),
            "none": (1, 1),
        }[weighting]
        terms = [
            -positive * truth * math.log(p) - negative * (1 - truth) * math.log(1 - p)
            for p, truth in known
        ]
        images.append(sum(terms) / len(terms))
    return sum(images) / len(images)


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("paper", (0.25 * 1 + 0.75 * 3) / 4),
        ("balanced", (0.75 * 1 + 0.25 * 3) / 4),
        ("none", 1.0),
    ],
)
def test_weights_of_one_positive_pixel_in_four(weighting, expected):
    logits, masks = jnp.zeros((1, 1, 1, 4)), row(1.0, 0.0, 0.0, 0.0).astype(np.float32)
    loss = segmentation_loss(logits, masks, np.ones_like(masks, bool), weighting)
    assert float(loss) == pytest.approx(expected * LN2, rel=1e-6)


@pytest.mark.parametrize("weighting", SEG_WEIGHTINGS)
def test_agrees_with_a_loop_over_images_and_pixels(pixels, weighting):
    assert float(segmentation_loss(*pixels, weighting)) == pytest.approx(
        slow_loss(*pixels, weighting), rel=1e-5
    )


@pytest.mark.parametrize("weighting", SEG_WEIGHTINGS)
def test_void_pixels_do_not_matter(pixels, weighting):
    logits, masks, valid = pixels
    other = jnp.where(valid, logits, 30.0), np.where(valid, masks, 1 - masks), valid
    assert float(segmentation_loss(*other, weighting)) == pytest.approx(
        float(segmentation_loss(*pixels, weighting)), rel=1e-6
    )


@pytest.mark.parametrize("weighting", SEG_WEIGHTINGS)
def test_a_wholly_void_image_adds_nothing(weighting):
    logits, masks = jnp.ones((1, 2, 1, 4)), np.zeros((1, 2, 1, 4), np.float32)
    masks[..., :2] = 1
    valid = np.zeros(masks.shape, bool)
    valid[:, 0] = True
    loss, gradient = jax.value_and_grad(segmentation_loss)(logits, masks, valid, weighting)
    alone = segmentation_loss(logits[:, :1], masks[:, :1], valid[:, :1], weighting)
    assert float(loss) == pytest.approx(float(alone) / 2, rel=1e-6)
    assert np.isfinite(gradient).all()
    assert not gradient[0, 1].any()


@pytest.mark.parametrize(("weighting", "weight"), [("paper", 1), ("balanced", 0), ("none", 1)])
def test_a_image_without_the_object(weighting, weight):
    """delta is 0: the background has all of the weight, or none."""
    logits = jnp.full((1, 1, 2, 2), 1.5)
    loss = segmentation_loss(
        logits, np.zeros(logits.shape, np.float32), np.ones(logits.shape, bool), weighting
    )
    assert float(loss) == pytest.approx(weight * math.log(1 + math.exp(1.5)), rel=1e-6)


@pytest.mark.parametrize("weighting", SEG_WEIGHTINGS)
def test_loss_falls_when_the_prediction_improves(pixels, weighting):
    logits, masks, valid = pixels
    better = logits + 0.1 * (2 * masks - 1)
    losses = [float(segmentation_loss(x, masks, valid, weighting)) for x in (better, logits)]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("weighting", SEG_WEIGHTINGS)
def test_gradient_points_from_the_truth(pixels, weighting):
    logits, masks, valid = pixels
    gradient = jax.grad(segmentation_loss)(logits, masks, valid, weighting)
    assert (np.sign(gradient)[valid] == np.where(masks > 0.5, -1, 1)[valid]).all()


def test_huge_logits_stay_finite():
    logits, masks = jnp.asarray(row(1e4, -1e4, 1e4, -1e4)), row(1.0, 0.0, 0.0, 1.0)
    masks = masks.astype(np.float32)
    loss = segmentation_loss(logits, masks, np.ones(masks.shape, bool), "none")
    assert float(loss) == pytest.approx(5000)


def test_unknown_weighting_lists_the_valid_ones(pixels):
    with pytest.raises(ValueError, match="'focal'; choose one of: paper, balanced, none"):
        segmentation_loss(*pixels, "focal")


def test_dice_by_hand():
    """Probabilities 3/4, 1/2, 1/4 and a void pixel; the first and the third pixel are true."""
    logits = jnp.asarray([[[[math.log(3), 0.0, -math.log(3), 9.0]]]])
    masks = np.array([[[[1, 0, 1, 0]]]], np.float32)
    valid = np.array([[[[True, True, True, False]]]])
    expected = 1 - (2 * (3 / 4 + 1 / 4) + 1) / (3 / 2 + 2 + 1)
    assert float(dice_loss(logits, masks, valid)) == pytest.approx(expected, rel=1e-6)


def test_dice_of_an_empty_mask_falls_to_zero_with_the_prediction():
    masks, valid = np.zeros((1, 1, 8, 8), np.float32), np.ones((1, 1, 8, 8), bool)
    losses = [float(dice_loss(jnp.full(masks.shape, x), masks, valid)) for x in (2.0, -2.0, -20.0)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] == pytest.approx(0, abs=1e-6)


def test_semantic_loss_by_hand():
    logits = jnp.array([[0.0, math.log(3), -math.log(3)], [0.0, 0.0, math.log(3)]])
    labels = np.float32([[1, 1, 0], [0, 1, 0]])
    expected = (LN2 - 2 * math.log(3 / 4)) / 3, (2 * LN2 - math.log(1 / 4)) / 3
    assert float(semantic_loss(logits, labels)) == pytest.approx(sum(expected) / 2, rel=1e-6)


def test_several_categories_may_be_right_at_once():
    logits = jnp.array([[20.0, 20.0, -20.0]])
    assert float(semantic_loss(logits, np.float32([[1, 1, 0]]))) < 1e-6


def levels(*sides: int, labels: int = 5):
    return tuple(jnp.zeros((1, 2, side, side, labels)) for side in sides)


@pytest.mark.slow
def test_the_category_loss_of_even_logits_is_the_log_of_their_number():
    maps = np.random.default_rng(0).integers(0, 5, (1, 2, 32, 32)).astype(np.uint8)
    loss = category_loss(levels(8, 4, 2, 1), maps, np.ones(maps.shape, bool))
    assert float(loss) == pytest.approx(math.log(5), rel=1e-6)


def test_void_asks_for_nothing_and_shares_are_areas():
    """A cell of which a quarter is category 1, a quarter void, the rest none."""
    maps = np.asarray([[1, 0], [0, 0]], np.uint8).reshape(1, 1, 2, 2)
    valid = np.asarray([[True, True], [True, False]]).reshape(1, 1, 2, 2)
    logits = (jnp.asarray([0.0, 2.0, -1.0]).reshape(1, 1, 1, 1, 3),)
    log_p = np.asarray([0.0, 2.0, -1.0]) - np.log(np.exp([0.0, 2.0, -1.0]).sum())
    expected = -(0.25 * log_p[1] + 0.5 * log_p[0])
    assert float(category_loss(logits, maps, valid)) == pytest.approx(expected, rel=1e-6)


def test_the_shares_of_cells_are_counts_of_pixels():
    rng = np.random.default_rng(0)
    maps, valid = (
        rng.integers(0, 300, (1, 2, 8, 12)).astype(np.uint16),
        rng.random((1, 2, 8, 12)) < 0.8,
    )
    shares = np.asarray(cell_shares(maps, valid, jnp.zeros((1, 2, 2, 3, 301))))
    for n, y, x in np.ndindex(2, 2, 3):
        window = np.s_[0, n, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        expected = np.bincount(maps[window][valid[window]], minlength=301) / 16
        np.testing.assert_allclose(shares[0, n, y, x], expected, atol=1e-6)


def test_the_category_loss_never_holds_one_hot_labels_of_all_pixels():
    logits, maps = levels(32, 16, 8, 4, labels=50), np.zeros((1, 2, 128, 128), np.uint8)
    compiled = jax.jit(category_loss).lower(logits, maps, np.ones(maps.shape, bool)).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    assert analysis.temp_size_in_bytes < 4 * 50 * maps.size / 2


def test_total_is_the_weighted_sum_of_its_terms(pixels):
    logits, masks, valid = pixels
    class_logits, labels = jnp.array([[2.0], [-1.0]]), np.float32([[1], [1]])
    prior = SpatialPrior(jnp.zeros((2, 3, 1, 1)), jnp.array([-0.5, -0.25]))
    prediction = Prediction(logits, class_logits, jnp.zeros((2, 4)), prior)
    batch = GroupBatch(None, masks, valid, labels)
    losses = total_loss(
        prediction,
        batch,
        seg_weighting="balanced",
        spatial_weight=2.0,
        semantic_weight=30.0,
        segmentation_weight=400.0,
        dice_weight=7000.0,
        category_weight=5000.0,
    )
    assert float(losses.spatial) == pytest.approx(-0.375)
    assert float(losses.semantic) == pytest.approx(float(semantic_loss(class_logits, labels)))
    assert float(losses.segmentation) == pytest.approx(
        float(segmentation_loss(*pixels, "balanced"))
    )
    assert float(losses.dice) == pytest.approx(float(dice_loss(*pixels)))
    expected = 2 * losses.spatial + 30 * losses.semantic + 400 * losses.segmentation
    expected += 7000 * losses.dice
    assert float(losses.total) == pytest.approx(float(expected), rel=1e-6)


def test_every_iteration_counts_alike(pixels):
    logits, masks, valid = pixels
    class_logits, labels = jnp.array([[2.0], [-1.0]]), np.float32([[1], [1]])
    prior = SpatialPrior(jnp.zeros((2, 3, 1, 1)), jnp.array([-0.5, -0.25]))
    last = Prediction(logits, class_logits, jnp.zeros((2, 4)), prior)
    first = last._replace(mask_logits=-2 * logits, class_logits=class_logits + 1)
    both = last._replace(earlier=(Iteration(first.mask_logits, first.class_logits),))
    options: dict = dict(
        seg_weighting="none",
        spatial_weight=1.0,
        semantic_weight=1.0,
        segmentation_weight=1.0,
        dice_weight=1.0,
        category_weight=1.0,
    )
    batch = GroupBatch(None, masks, valid, labels)
    found, *alone = (total_loss(x, batch, **options) for x in (both, first, last))
    for name in ("spatial", "semantic", "segmentation", "dice", "total"):
        expected = sum(float(getattr(losses, name)) for losses in alone) / 2
        assert float(getattr(found, name)) == pytest.approx(expected, rel=1e-6), name
