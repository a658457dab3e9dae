"""Boundary F: how well the outline of a mask follows the true one (Martin et al. 2004).

As usual in segmentation benchmarks: the harmonic mean of the shares of the found outline near the
true one, and of the true one near the found one.
"""

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import binary_erosion, distance_transform_edt

from cosseg_jax.types import Ndarray

TOLERANCE = 0.008  # of "near", as a share of the photograph's diagonal


def boundary_f(
    mask: Bool[Ndarray, "H W"],
    truth: Bool[Ndarray, "H W"],
    valid: Bool[Ndarray, "H W"],
    tolerance: float = TOLERANCE,
) -> float:
    """F, 0..1, of the outlines inside the photograph; 1 where neither mask has one.

    valid: False on void pixels, where outlines are not counted.
    """
    reach = tolerance * float(np.hypot(*mask.shape))
    found, true = outline(mask) & valid, outline(truth) & valid
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    precision = float(np.mean(distance_transform_edt(~true)[found] <= reach))
    recall = float(np.mean(distance_transform_edt(~found)[true] <= reach))
    return 2 * precision * recall / max(precision + recall, 1e-12)


def outline(mask: Bool[Ndarray, "H W"]) -> Bool[Ndarray, "H W"]:
    """The mask's pixels next to one outside it; the photograph's frame makes no outline."""
    return mask & ~binary_erosion(mask, border_value=1)
