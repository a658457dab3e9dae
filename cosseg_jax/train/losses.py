"""The three losses of section 3.5, two of our own, and their weighted sum (eq. 14).

The paper prints eq. 12 and 13 with the sign of their second term flipped; both are ordinary
cross-entropies. The spatial loss (eq. 9) comes with the prior, from `models.spatial`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Integer

from cosseg_jax.errors import check_choice
from cosseg_jax.types import GroupBatch, Iteration, Ndarray, Prediction

# delta, an image's share of positive pixels -> weights of its positives and of its negatives
SEG_WEIGHTINGS = {
    "paper": lambda delta: (delta, 1 - delta),
    "balanced": lambda delta: (1 - delta, delta),
    "none": lambda delta: (jnp.ones_like(delta), jnp.ones_like(delta)),
}


class Losses(NamedTuple):
    """The unweighted terms of eq. 14 and our own, and their weighted sum."""

    spatial: Float[Array, ""]
    semantic: Float[Array, ""]
    segmentation: Float[Array, ""]
    dice: Float[Array, ""]
    category: Float[Array, ""]
    total: Float[Array, ""]


def segmentation_loss(
    logits: Float[Array, "B N H W"],
    masks: Float[Array | Ndarray, "B N H W"],
    valid: Bool[Array | Ndarray, "B N H W"],
    weighting: str,
) -> Float[Array, ""]:
    """Weighted pixel cross-entropy (eq. 13), the mean over each image's valid pixels.

    Raises:
        UserError: for an unknown weighting.
    """
    check_choice("loss.seg_weighting", weighting, tuple(SEG_WEIGHTINGS))
    known = valid.astype(jnp.float32)
    pixels = jnp.maximum(jnp.sum(known, axis=(2, 3), keepdims=True), 1.0)  # [B, N, 1, 1]
    delta = jnp.sum(masks * known, axis=(2, 3), keepdims=True) / pixels  # [B, N, 1, 1]
    positive, negative = SEG_WEIGHTINGS[weighting](delta)
    weights = jnp.where(masks > 0.5, positive, negative) * known
    cross_entropy = optax.sigmoid_binary_cross_entropy(logits, masks)
    return jnp.mean(jnp.sum(weights * cross_entropy / pixels, axis=(2, 3)))


def dice_loss(
    logits: Float[Array, "B N H W"],
    masks: Float[Array | Ndarray, "B N H W"],
    valid: Bool[Array | Ndarray, "B N H W"],
) -> Float[Array, ""]:
    """1 minus the soft Dice overlap of each image's valid pixels, the mean over images.

    Unlike cross-entropy it weighs small and large objects alike (Milletari et al. 2016). One pixel
    is added to both sides, so that the loss of an empty prediction for an empty mask is 0.
    """
    known = valid.astype(jnp.float32)
    probability, truth = jax.nn.sigmoid(logits) * known, masks * known
    overlap = 2 * jnp.sum(probability * truth, axis=(2, 3)) + 1  # [B, N]
    return jnp.mean(1 - overlap / (jnp.sum(probability + truth, axis=(2, 3)) + 1))


def semantic_loss(
    logits: Float[Array, "B L"], labels: Float[Array | Ndarray, "B L"]
) -> Float[Array, ""]:
    """Multi-label cross-entropy of the shared categories (eq. 12), the mean over the L of them."""
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels))


def category_loss(
    logits: Sequence[Float[Array, "B N _ _ _"]],
    category_maps: Integer[Array | Ndarray, "B N H W"],
    valid: Bool[Array | Ndarray, "B N H W"],
) -> Float[Array, ""]:
    """Softmax cross-entropy of the category head (`models.category`), the mean over its levels.

    logits: of the cells of each level, fine to coarse, for "none" and every category.

    The target of a cell is the share of its pixels that "none" and each category cover; its void
    pixels count as 0.
    """
    shares = cell_shares(category_maps, valid, logits[0])
    losses = []
    for level in logits:
        groups, images, height, width, labels = level.shape
        rows, columns = shares.shape[2] // height, shares.shape[3] // width
        blocks = shares.reshape(groups, images, height, rows, width, columns, labels)
        shares = jnp.mean(blocks, axis=(3, 5))  # [B, N, h, w, 1+L]
        losses.append(jnp.mean(optax.softmax_cross_entropy(level, shares)))
    return jnp.mean(jnp.stack(losses))


def cell_shares(
    category_maps: Integer[Array | Ndarray, "B N H W"],
    valid: Bool[Array | Ndarray, "B N H W"],
    logits: Float[Array, "B N h w K"],
) -> Float[Array, "B N h w K"]:
    """The share of each cell's pixels that each of the K = 1 + L labels covers.

    H and W are multiples of h and w. The one-hot labels of one pixel of every cell are added at a
    time, so that none are ever kept for all pixels.
    """
    height, width, labels = logits.shape[2:]
    rows, columns = category_maps.shape[2] // height, category_maps.shape[3] // width
    known = jnp.where(valid, jnp.asarray(category_maps, jnp.int32), labels)  # void: one hot of none
    total = jnp.zeros(logits.shape)
    for y in range(rows):
        for x in range(columns):
            total += jax.nn.one_hot(known[:, :, y::rows, x::columns], labels)
    return total / (rows * columns)


def total_loss(
    prediction: Prediction,
    batch: GroupBatch,
    *,
    seg_weighting: str,
    spatial_weight: float,
    semantic_weight: float,
    segmentation_weight: float,
    dice_weight: float,
    category_weight: float,
) -> Losses:
    """Eq. 14, in which all weights are 1; the last two terms are ours.

    With several iterations, the semantic, segmentation and Dice losses are means over them.
    """
    last = Iteration(prediction.mask_logits, prediction.class_logits)
    each = [
        (
            semantic_loss(found.class_logits, batch.labels),
            segmentation_loss(found.mask_logits, batch.masks, batch.valid, seg_weighting),
            dice_loss(found.mask_logits, batch.masks, batch.valid),
        )
        for found in (*prediction.earlier, last)
    ]
    semantic, segmentation, dice = (jnp.mean(jnp.stack(x)) for x in zip(*each, strict=True))
    spatial, category = jnp.mean(prediction.prior.loss), jnp.zeros(())
    if prediction.category_logits is not None and batch.category_maps is not None:
        category = category_loss(prediction.category_logits, batch.category_maps, batch.valid)
    total = (
        spatial_weight * spatial
        + semantic_weight * semantic
        + segmentation_weight * segmentation
        + dice_weight * dice
        + category_weight * category
    )
    return Losses(spatial, semantic, segmentation, dice, category, total)
