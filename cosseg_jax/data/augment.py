"""Random changes of a training image and its masks, before the network sees them.

They are beyond the paper and off by default. Image, mask, void and category map always change
together. `network_view` crops, resizes, flips and changes colours.

Copy-paste (Ghiasi et al. 2021, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
Segmentation") pastes an object of a category that the group does not share into one of its images:
the salient object need not be the shared one. A background swap pastes the group's own object into
another image, which makes a new image of it where there are few.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8, UInt16
from PIL import Image, ImageEnhance, ImageFilter

from cosseg_jax.data.resizing import resize_image, resize_mask
from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

PASTED_SIZES = (0.3, 0.9)  # of the object's larger side, as a share of the image's shorter side
MIN_PIXELS = 400  # of an object that is pasted
FEATHER = 0.7  # standard deviation, in pixels, of the blur of its outline


class AugmentOptions(NamedTuple):
    """The random changes of training images; all of them are off by default.

    flip: mirror every second image, left to right, on average.
    max_scale: magnify by a random factor of 1 to `max_scale` and cut out a window of the original
        shape, which always holds some of the object; 1 is off.
    brightness, contrast, saturation: multiply by a factor drawn from 1 - x to 1 + x; 0 is off.
    copy_paste: share of the images into which an object of another category is pasted.
    background_swap: share of the images whose object is pasted into another image.
    """

    flip: bool = False
    max_scale: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    copy_paste: float = 0.0
    background_swap: float = 0.0


class View(NamedTuple):
    """An image with its mask and void pixels, all cropped, resized and flipped alike.

    category_map: 1 + the index of the category at each pixel, 0 for none; None where not needed.
    """

    image: UInt8[Ndarray, "H W 3"]
    mask: Bool[Ndarray, "H W"]
    void: Bool[Ndarray, "H W"]
    category_map: UInt16[Ndarray, "H W"] | None = None

    def map(self, change: Callable[[Ndarray], Ndarray]) -> "View":
        """The view with the same change made to every array."""
        return View(
            change(self.image),
            change(self.mask),
            change(self.void),
            None if self.category_map is None else change(self.category_map),
        )


def check_options(options: AugmentOptions) -> None:
    """Raises UserError when an option is out of its range."""
    if not 1.0 <= options.max_scale <= 10.0:
        raise UserError(f"augment.max_scale is {options.max_scale}; expected 1 (off) to 10")
    for field in ("brightness", "contrast", "saturation", "copy_paste", "background_swap"):
        if not 0.0 <= getattr(options, field) <= 1.0:
            raise UserError(f"augment.{field} is {getattr(options, field)}; expected 0 (off) to 1")


def network_view(view: View, size: int, rng: np.random.Generator, options: AugmentOptions) -> View:
    """A random version of an image at the network's size: crop, resize, flip, colours."""
    if options.max_scale > 1.0:
        view = random_crop(view, rng, options.max_scale)
    view = resize_view(view, size)
    if draw_flip(rng, options):
        view = flip_view(view)
    return view._replace(image=jitter(view.image, rng, options))


def draw_flip(rng: np.random.Generator, options: AugmentOptions) -> bool:
    """Draws whether an image is mirrored."""
    return options.flip and bool(rng.random() < 0.5)


def flip_view(view: View) -> View:
    """Mirrors left to right."""
    return view.map(lambda array: np.ascontiguousarray(array[:, ::-1]))


def random_crop(view: View, rng: np.random.Generator, max_scale: float) -> View:
    """Cuts out a window that is 1 to `max_scale` times smaller on each side.

    It holds a random foreground pixel; without any foreground it lies anywhere.
    """
    height, width = view.mask.shape
    scale = float(np.exp(rng.uniform(0.0, np.log(max_scale))))
    window_height, window_width = max(1, round(height / scale)), max(1, round(width / scale))
    top_range, left_range = (0, height - window_height), (0, width - window_width)
    foreground = np.flatnonzero(view.mask)
    if foreground.size:
        row, column = divmod(int(rng.choice(foreground)), width)
        top_range = _starts_around(row, window_height, height)
        left_range = _starts_around(column, window_width, width)
    top = int(rng.integers(*top_range, endpoint=True))
    left = int(rng.integers(*left_range, endpoint=True))
    window = np.s_[top : top + window_height, left : left + window_width]
    return view.map(lambda array: np.ascontiguousarray(array[window]))


def jitter(
    image: UInt8[Ndarray, "H W 3"], rng: np.random.Generator, options: AugmentOptions
) -> UInt8[Ndarray, "H W 3"]:
    """Changes brightness, contrast and saturation by random factors."""
    enhancers = (
        (ImageEnhance.Brightness, options.brightness),
        (ImageEnhance.Contrast, options.contrast),
        (ImageEnhance.Color, options.saturation),
    )
    changed = Image.fromarray(image)
    for enhancer, spread in enhancers:
        if spread > 0.0:
            changed = enhancer(changed).enhance(1.0 + rng.uniform(-spread, spread))
    return np.array(changed)


def resize_view(view: View, size: int) -> View:
    """Resizes an image and its masks to the network's square input."""
    masks = view.map(lambda array: array if array is view.image else resize_mask(array, size))
    return masks._replace(image=resize_image(view.image, size))


def _starts_around(position: int, window: int, length: int) -> tuple[int, int]:
    """The first and the last start of a window inside `length` that contains `position`."""
    return max(0, position - window + 1), min(position, length - window)


class Cutout(NamedTuple):
    """An object in its bounding box.

    label: 1 + the index of its category, as in a category map.
    """

    image: UInt8[Ndarray, "h w 3"]
    mask: Bool[Ndarray, "h w"]
    label: int


def cut_object(
    image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"], category: int
) -> Cutout | None:
    """The masked part of an image; None where it has fewer than MIN_PIXELS pixels."""
    if np.count_nonzero(mask) < MIN_PIXELS:
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Cutout(image[box], mask[box], category + 1)


def paste(view: View, cutout: Cutout, rng: np.random.Generator, *, shared: bool) -> View:
    """The image with the object pasted into it at a random place, size and orientation.

    shared: whether the object belongs to the mask; if not, the mask loses the covered pixels.
    """
    if rng.random() < 0.5:
        mirrored = flip_view(View(cutout.image, cutout.mask, cutout.mask))
        cutout = cutout._replace(image=mirrored.image, mask=mirrored.mask)
    height, width = view.mask.shape
    larger = rng.uniform(*PASTED_SIZES) * min(height, width)
    scale = larger / max(cutout.mask.shape)
    sides = [max(1, round(scale * side)) for side in cutout.mask.shape]
    top = int(rng.integers(0, height - sides[0] + 1))
    left = int(rng.integers(0, width - sides[1] + 1))
    window = np.s_[top : top + sides[0], left : left + sides[1]]
    pixels, covered, alpha = _resize_cutout(cutout, sides)

    def covered_by(value: bool | int, array: Ndarray) -> Ndarray:
        changed = array.copy()
        changed[window][covered] = value
        return changed

    image = view.image.copy()
    image[window] = np.round(alpha * pixels + (1 - alpha) * image[window]).astype(np.uint8)
    categories = view.category_map
    return View(
        image,
        covered_by(shared, view.mask),
        covered_by(False, view.void),
        None if categories is None else covered_by(cutout.label, categories),
    )


def _resize_cutout(
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
