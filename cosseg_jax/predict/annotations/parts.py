"""The connected parts of masks, which count as instances."""

import numpy as np
from jaxtyping import Bool
from scipy.ndimage import label

from cosseg_jax.types import Ndarray

LEAST_PART = 0.0005  # of an image, below which a connected part is no instance


def connected_parts(mask: Bool[Ndarray, "H W"], least: float = 0) -> list[Bool[Ndarray, "H W"]]:
    """The connected parts of a mask that is not empty, the largest first.

    Pixels that touch at a corner are connected. Parts of fewer than `least` pixels are left out,
    but for the largest one.
    """
    labels, _ = label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")
    large = [k for k in order[1:] if areas[k] and areas[k] >= least]
    return [labels == k for k in [order[0], *large]]
