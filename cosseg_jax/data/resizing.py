"""The one way in which images, maps and masks are resized.

To the network's input, images are resized bilinearly and masks by nearest neighbour (section 4.1).
What is drawn, or compared between maps of several sizes, may have any height and width.
"""

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image

from cosseg_jax.types import Ndarray


def resize_image(image: UInt8[Ndarray, "H W 3"], size: int) -> UInt8[Ndarray, "S S 3"]:
    """Resizes to `size` x `size` pixels: bilinear, antialiased where it shrinks (section 4.1)."""
    return resized(image, (size, size)).copy()  # one that may be changed


def resize_mask(mask: Shaped[Ndarray, "H W"], size: int) -> Shaped[Ndarray, "S S"]:
    """Resizes to `size` x `size` pixels by nearest neighbour (pixel centres aligned)."""
    rows, columns = (_nearest(length, size) for length in mask.shape)
    return mask[rows[:, None], columns[None, :]]


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image or a float32 map bilinearly to (height, width) = `size`."""
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resized_mask(mask: Bool[Ndarray, "H W"], size: tuple[int, int]) -> Bool[Ndarray, "h w"]:
    """Resizes a mask: a pixel of the result is set if the mask covers at least half of it."""
    return resized(255 * mask.astype(np.uint8), size) > 127


def _nearest(length: int, size: int) -> Ndarray:
    """For each of `size` cells, the one of `length` pixels in which its centre lies."""
    return ((2 * np.arange(size) + 1) * length) // (2 * size)
