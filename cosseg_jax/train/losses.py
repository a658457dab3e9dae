"""The three losses of section 3.5, three of our own, and their sum (eq. 14).

Eq. 12 and 13 are printed with the sign of their second term flipped; both are ordinary
cross-entropies. The spatial loss (eq. 9) comes with the prior, from `models.spatial`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float

from cosseg_jax.errors import check_choice
from cosseg_jax.models.category import category_loss
from cosseg_jax.types import GroupBatch, Iteration, Ndarray, Prediction

OUTLINE = 11  # side of the square around a pixel, at the network's size

# delta, an image's share of positive pixels -> weights of its positives and of its negatives
SEG_WEIGHTINGS = {
    "paper": lambda delta: (delta, 1 - delta),
    "balanced": lambda delta: (1 - delta, delta),
    "none": lambda delta: (jnp.ones_like(delta), jnp.ones_like(delta)),
}


class Losses(NamedTuple):
    """The terms of eq. 14 and our own, unweighted; and their weighted sum."""

    spatial: Float[Array, ""]
    semantic: Float[Array, ""]
    segmentation: Float[Array, ""]
    dice: Float[Array, ""]
    boundary: Float[Array, ""]
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
        ValueError: for an unknown weighting.
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

    Unlike cross-entropy it weighs a small object like a large one (Milletari et al. 2016). One
    pixel is added to both sides, so that an empty mask asks for an empty prediction.
    """
    known = valid.astype(jnp.float32)
    probability, truth = jax.nn.sigmoid(logits) * known, masks * known
    overlap = 2 * jnp.sum(probability * truth, axis=(2, 3)) + 1  # [B, N]
    return jnp.mean(1 - overlap / (jnp.sum(probability + truth, axis=(2, 3)) + 1))


def boundary_loss(
    logits: Float[Array, "B N H W"],
    masks: Float[Array | Ndarray, "B N H W"],
    valid: Bool[Array | Ndarray, "B N H W"],
) -> Float[Array, ""]:
    """Pixel cross-entropy near each image's true outlines only, the mean over images.

    Near are pixels whose surrounding square of `OUTLINE` pixels a side holds both the object and
    what is not it. An image without outlines, or with void pixels alone beside them, adds 0.
    """
    truth = jnp.asarray(masks, jnp.float32)[..., None]  # [B, N, H, W, 1]
    widest, narrowest = (
        sign * nn.max_pool(sign * truth, (OUTLINE, OUTLINE), padding="SAME") for sign in (1, -1)
    )
    near = (widest != narrowest)[..., 0] & valid
    cross_entropy = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, masks) * near, axis=(2, 3))
    return jnp.mean(cross_entropy / jnp.maximum(jnp.sum(near, axis=(2, 3)), 1))


def semantic_loss(
    logits: Float[Array, "B L"], labels: Float[Array | Ndarray, "B L"]
) -> Float[Array, ""]:
    """Multi-label cross-entropy of the shared categories (eq. 12), the mean over the L of them."""
    return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels))


def total_loss(
    prediction: Prediction,
    batch: GroupBatch,
    *,
    seg_weighting: str,
    spatial_weight: float,
    semantic_weight: float,
    segmentation_weight: float,
    dice_weight: float,
    boundary_weight: float,
    category_weight: float,
) -> Losses:
    """Eq. 14, with weights that are all 1 in the paper; the last three terms are ours.

    Where the network makes several rounds, each term is the mean over them.
    """
    spatial = jnp.mean(prediction.prior.loss)
    num_iterations = (
        *prediction.earlier,
        Iteration(prediction.mask_logits, prediction.class_logits),
    )
    each = [
        (
            semantic_loss(found.class_logits, batch.labels),
            segmentation_loss(found.mask_logits, batch.masks, batch.valid, seg_weighting),
            dice_loss(found.mask_logits, batch.masks, batch.valid),
            boundary_loss(found.mask_logits, batch.masks, batch.valid)
            if boundary_weight
            else jnp.zeros(()),
        )
        for found in num_iterations
    ]
    semantic, segmentation, dice, boundary = (
        jnp.mean(jnp.stack(x)) for x in zip(*each, strict=True)
    )
    total = (
        spatial_weight * spatial + semantic_weight * semantic + segmentation_weight * segmentation
    )
    total = total + dice_weight * dice + boundary_weight * boundary
    category = jnp.zeros(())
    if prediction.category_logits is not None and batch.category_maps is not None:
        category = category_loss(prediction.category_logits, batch.category_maps, batch.valid)
        total = total + category_weight * category
    return Losses(spatial, semantic, segmentation, dice, boundary, category, total)
