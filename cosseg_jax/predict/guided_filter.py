"""Edges of masks at an image's own resolution: guided joint upsampling.

The network sees images at a few hundred pixels, so its masks have soft, coarse edges. The guided
filter (He, Sun, Tang 2013, "Guided image filtering") explains the probability in every small window
as a linear function of the colours there. As in its fast variant (He, Sun 2015) these functions are
fitted at the network's resolution, upsampled, and applied to the image's own pixels, so that edges
move to where the colours change.
"""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.ndimage import uniform_filter

from cosseg_jax.data.resizing import resized
from cosseg_jax.types import Ndarray

RADIUS = 0.06  # of a window, as a share of the map's side
EPSILON = 1e-4  # variance of colours, in 0..1, below which a window counts as flat


def refined(
    probability: Float[Ndarray, "S S"],
    image: UInt8[Ndarray, "H W 3"],
    *,
    radius: float = RADIUS,
    epsilon: float = EPSILON,
) -> Float[Ndarray, "H W"]:
    """The probability at the image's own size, with edges where the image has them.

    Args:
        probability: 0..1, at the network's size.
        image: RGB, at its own size.
        radius, epsilon: of the filter.

    Raises:
        ValueError: for a radius or epsilon that is not above 0.
    """
    if radius <= 0 or epsilon <= 0:
        raise ValueError(f"radius and epsilon are {radius} and {epsilon}; both must be above 0")
    side = probability.shape[0]
    window = 2 * max(1, round(radius * side)) + 1
    small = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BOX)) / 255
    slope, offset = _fitted(small, probability.astype(np.float64), window, epsilon)
    height, width = image.shape[:2]
    found = resized(offset.astype(np.float32), (height, width))
    for channel in range(3):
        weight = resized(slope[..., channel].astype(np.float32), (height, width))
        found = found + weight * (image[..., channel].astype(np.float32) / 255)
    return np.clip(found, 0, 1)


def _fitted(
    guide: Float[Ndarray, "S S 3"], values: Float[Ndarray, "S S"], window: int, epsilon: float
) -> tuple[Float[Ndarray, "S S 3"], Float[Ndarray, "S S"]]:
    """Slope and offset of the linear functions, averaged over the windows around each pixel."""

    def mean(x: np.ndarray) -> np.ndarray:
        return uniform_filter(x, (window, window, *(1,) * (x.ndim - 2)), mode="nearest")

    centre, level = mean(guide), mean(values)
    products = guide[..., :, None] * guide[..., None, :]  # [S, S, 3, 3]
    spread = mean(products) - centre[..., :, None] * centre[..., None, :]
    together = mean(guide * values[..., None]) - centre * level[..., None]  # [S, S, 3]
    slope = np.linalg.solve(spread + epsilon * np.eye(3), together[..., None])[..., 0]
    offset = level - np.sum(slope * centre, axis=2)
    return mean(slope), mean(offset)
