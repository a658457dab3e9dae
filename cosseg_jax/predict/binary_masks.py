"""From probabilities to masks: the threshold, and how far two masks overlap."""

import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.types import Ndarray

THRESHOLD = 0.5  # probability above which a pixel belongs to the object


def binary_mask(
    probability: Float[Ndarray, "H W"], presence: float, threshold: float = THRESHOLD
) -> Bool[Ndarray, "H W"]:
    """Where the probability exceeds the threshold; empty where the presence does not."""
    if presence <= threshold:
        return np.zeros(probability.shape, bool)
    return probability > threshold


def iou(one: Bool[Ndarray, "H W"], other: Bool[Ndarray, "H W"]) -> float:
    """Intersection over union of two masks, 0..1; 0 if both are empty."""
    return float((one & other).sum() / max((one | other).sum(), 1))
