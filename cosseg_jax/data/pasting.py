"""Objects cut out of one photograph and put into another (Ghiasi et al. 2021, "Simple copy-paste").

Beyond the paper, and off by default. An object of a category that the group does not share, put
into one of its photographs, shows that the salient object need not be the one that is meant. The
group's own object before the background of another photograph is a new photograph of it, which
counts where there are few.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter

from cosseg_jax.data.transforms import View, flipped
from cosseg_jax.types import Ndarray

SIZES = (0.3, 0.9)  # of the object's larger side, as a share of the photograph's shorter one
LEAST_PIXELS = 400  # of an object that is worth showing
FEATHER = 0.7  # pixels over which its outline fades


class Cutout(NamedTuple):
    """An object within its bounding box.

    label: 1 + the index of its category, as in a category map.
    """

    image: UInt8[Ndarray, "h w 3"]
    mask: Bool[Ndarray, "h w"]
    label: int


def cut_out(
    image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"], category: int
) -> Cutout | None:
    """The masked part of a photograph; None where it is too small to be worth showing."""
    if np.count_nonzero(mask) < LEAST_PIXELS:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Cutout(image[box], mask[box], category + 1)


def pasted(view: View, cutout: Cutout, rng: np.random.Generator, *, shared: bool) -> View:
    """The photograph with the object somewhere in it, of a random size and side.

    shared: whether the object is of those that the group shares, so that the mask takes it in;
        otherwise the mask loses what it covers.
    """
    if rng.random() < 0.5:
        mirrored = flipped(View(cutout.image, cutout.mask, cutout.mask))
        cutout = cutout._replace(image=mirrored.image, mask=mirrored.mask)
    height, width = view.mask.shape
    larger = rng.uniform(*SIZES) * min(height, width)
    scale = larger / max(cutout.mask.shape)
    sides = [max(1, round(scale * side)) for side in cutout.mask.shape]
    top = int(rng.integers(0, height - sides[0] + 1))
    left = int(rng.integers(0, width - sides[1] + 1))
    window = np.s_[top : top + sides[0], left : left + sides[1]]
    image, covered, alpha = _resized(cutout, sides)

    def with_window(array: Ndarray, value: bool | int) -> Ndarray:
        changed = array.copy()
        changed[window][covered] = value
        return changed

    shown = view.image.copy()
    blend = alpha * image + (1 - alpha) * shown[window]
    shown[window] = np.round(blend).astype(np.uint8)
    found = view.category_map
    return View(
        shown,
        with_window(view.mask, shared),
        with_window(view.void, False),
        None if found is None else with_window(found, cutout.label),
    )


def _resized(
    cutout: Cutout, sides: list[int]
) -> tuple[UInt8[Ndarray, "h w 3"], Bool[Ndarray, "h w"], np.ndarray]:
    """Image, mask and soft mask [h, w, 1] at another size."""
    size = (sides[1], sides[0])
    image = Image.fromarray(cutout.image).resize(size, Image.Resampling.BILINEAR)
    soft = Image.fromarray(255 * cutout.mask.astype(np.uint8))
    soft = soft.resize(size, Image.Resampling.BILINEAR)
    covered = np.asarray(soft) > 127
    alpha = np.asarray(soft.filter(ImageFilter.GaussianBlur(FEATHER)), np.float32) / 255
    return np.asarray(image), covered, alpha[..., None]
