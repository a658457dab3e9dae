"""Masks and cut-outs as the options of `looks` say."""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageColor, ImageFilter
from scipy.ndimage import binary_fill_holes

from cosseg_jax.cli.looks import PLAIN, Looks
from cosseg_jax.predict.annotations.parts import connected_parts
from cosseg_jax.types import Ndarray

BLUR = 0.02  # radius, as a share of the photo's longer side


def with_looks(mask: Bool[Ndarray, "H W"], looks: Looks) -> Bool[Ndarray, "H W"]:
    """The mask as it is written: its largest part, and without holes, where that is asked for."""
    if looks.keep_largest and mask.any():
        mask = connected_parts(mask)[0]
    return np.asarray(binary_fill_holes(mask), bool) if looks.fill_holes else mask


def cutout(
    image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"], looks: Looks = PLAIN
) -> UInt8[Ndarray, "h w C"]:
    """The object on its background: RGBA where that is transparent, else RGB.

    What is transparent is black, so that the file hides nothing. A cropped cut-out of an empty mask
    has the photo's size.
    """
    if looks.background == "transparent":
        inside = mask[..., None].astype(np.uint8)
        drawn = np.concatenate([image * inside, 255 * inside], axis=2)
    else:
        drawn = _background(image, looks.background)
        drawn[mask] = image[mask]
    return drawn[_box(mask)] if looks.crop and mask.any() else drawn


def _background(image: UInt8[Ndarray, "H W 3"], kind: str) -> UInt8[Ndarray, "H W 3"]:
    if kind == "blur":
        radius = BLUR * max(image.shape[:2])
        return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
    return np.full(image.shape, ImageColor.getrgb(kind)[:3], np.uint8)


def _box(mask: Bool[Ndarray, "H W"]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
