"""Between an image and SAM's input: scaled to a long side, padded, normalised; and back again.

Follows Kirillov et al. 2023 (appendix A): the image lies in the upper left corner of a square whose
rest is filled with the mean colour. Without that rest the encoder has less to do: see `frame_of`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from cosseg_jax.models.sam.tiny_vit import STRIDE
from cosseg_jax.types import Ndarray

MEAN = np.asarray([123.675, 116.28, 103.53], np.float32)  # RGB of ImageNet, 0..255
DEVIATION = np.asarray([58.395, 57.12, 57.375], np.float32)
MASK_STRIDE = 4  # of the decoder's masks
OUTSIDE = -10.0  # logit of a mask where the image is not


class Frame(NamedTuple):
    """How an image lies in the encoder's input; all as (height, width) in pixels.

    image: its own size.
    scaled: its size in the input, from the upper left corner.
    padded: the size of the input.
    """

    image: tuple[int, int]
    scaled: tuple[int, int]
    padded: tuple[int, int]


def frame_of(size: tuple[int, int], image_size: int, multiple: int | None = None) -> Frame:
    """The frame of an image of (height, width) = `size`, its long side scaled to `image_size`.

    multiple: pad each side to a multiple of so many pixels; by default to the whole square, as SAM
        was trained. Each size of input is compiled on its own, so a coarse multiple means few.
    Raises ValueError for a multiple or an image size that 16 does not divide.
    """
    if image_size % STRIDE or (multiple or STRIDE) % STRIDE:
        raise ValueError(
            f"image_size is {image_size} and multiple is {multiple}; give multiples of {STRIDE}"
        )
    scale = image_size / max(size)
    height, width = (max(int(side * scale + 0.5), 1) for side in size)
    step = multiple or image_size
    padded = min(-(-height // step) * step, image_size), min(-(-width // step) * step, image_size)
    return Frame(size, (height, width), padded)


def to_input(image: UInt8[Ndarray, "H W 3"], frame: Frame) -> Float[Ndarray, "h w 3"]:
    """The image (RGB, 0..255) as the encoder takes it, of the size `frame.padded`."""
    height, width = frame.scaled
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.zeros((*frame.padded, 3), np.float32)
    pixels[:height, :width] = (np.asarray(resized, np.float32) - MEAN) / DEVIATION
    return pixels


def to_frame(points: Float[Ndarray, "T 2"] | list, frame: Frame) -> Float[Ndarray, "T 2"]:
    """Points (x, y) of the image in pixels of the encoder's input."""
    scale = np.asarray(frame.scaled[::-1]) / np.asarray(frame.image[::-1])  # of x and y
    return (np.asarray(points, np.float64).reshape(-1, 2) * scale).astype(np.float32)  # [T, 2]


def to_image(logits: Float[Ndarray, "*M h4 w4"], frame: Frame) -> Float[Ndarray, "*M H W"]:
    """The decoder's logits at the image's own size.

    As SAM does: bilinearly to the input's size, cut, and bilinearly to the image's; both at once,
    as one matrix for the rows and one for the columns.
    """
    rows, columns = (
        _bilinear(image, scaled) @ _bilinear(padded, cells)[:scaled]
        for image, scaled, padded, cells in zip(*frame, logits.shape[-2:], strict=True)
    )
    return rows @ np.asarray(logits, np.float32) @ columns.T


def to_mask_prompt(logits: Float[Ndarray, "H W"], frame: Frame) -> Float[Ndarray, "h4 w4"]:
    """Logits of a mask of the image, at any resolution, as a prompt's mask; OUTSIDE beyond it."""
    height, width = (-(-side // MASK_STRIDE) for side in frame.scaled)
    inside = Image.fromarray(np.asarray(logits, np.float32))
    inside = inside.resize((width, height), Image.Resampling.BILINEAR)
    mask = np.full([side // MASK_STRIDE for side in frame.padded], OUTSIDE, np.float32)
    mask[:height, :width] = np.asarray(inside)
    return mask


def _bilinear(wanted: int, given: int) -> Float[Ndarray, "wanted given"]:
    """The matrix that resizes `given` samples to `wanted`, borders repeated, without smoothing."""
    at = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0, given - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, given - 1)
    matrix = np.zeros((wanted, given), np.float32)
    np.add.at(matrix, (np.arange(wanted), low), low + 1 - at)
    np.add.at(matrix, (np.arange(wanted), high), at - low)
    return matrix
