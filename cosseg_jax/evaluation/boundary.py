"""Boundary F: how well the outline of a mask follows the true one (Martin et al. 2004).

It is the harmonic mean of two shares, as usual in segmentation benchmarks: that of the predicted
outline which is near the true one, and that of the true outline which is near the predicted one.
"""

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import binary_erosion, distance_transform_edt

from cosseg_jax.types import Ndarray

BOUNDARY_TOLERANCE = 0.008  # the distance that is near, as a share of the image's diagonal


def boundary_f(
    mask: Bool[Ndarray, "H W"],
    truth: Bool[Ndarray, "H W"],
    valid: Bool[Ndarray, "H W"],
    tolerance: float = BOUNDARY_TOLERANCE,
) -> float:
    """F, 0..1, of the outlines inside the image; 1 where neither mask has one.

    valid: False on void pixels, where outlines do not count.
    """
    reach = tolerance * float(np.hypot(*mask.shape))
    predicted, true = outline(mask) & valid, outline(truth) & valid
    if not predicted.any() or not true.any():
        return float(predicted.any() == true.any())
    precision = float(np.mean(distance_transform_edt(~true)[predicted] <= reach))
    recall = float(np.mean(distance_transform_edt(~predicted)[true] <= reach))
    return 2 * precision * recall / max(precision + recall, 1e-12)


def outline(mask: Bool[Ndarray, "H W"]) -> Bool[Ndarray, "H W"]:
    """The mask's pixels with a neighbour outside it; the image border makes no outline."""
    return mask & ~binary_erosion(mask, border_value=1)
