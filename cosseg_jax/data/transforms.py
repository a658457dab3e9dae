"""What happens to a photograph and its masks before the network sees them (section 4.1).

Resizing squeezes a photograph to the network's square input without keeping its aspect, as the
paper does: images bilinear with antialiasing, masks by nearest neighbour. Augmentation is beyond
the paper and off by default; where things lie stays the same for image, mask and void.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image, ImageEnhance

from cosseg_jax.types import Ndarray


class AugmentOptions(NamedTuple):
    """Which random changes a training photograph goes through; all of them off by default.

    flip: mirror every second photograph, left to right.
    max_scale: magnify by a random factor of 1 to `max_scale` and cut out a window of the original
        shape; the window always holds some of the object. 1 is off.
    brightness, contrast, saturation: multiply by a factor drawn from 1 - x to 1 + x; 0 is off.
    paste: share of the photographs that get an object of another category; see `data/pasting.py`.
    transplant: share of those whose object is put before the background of another photograph.
    """

    flip: bool = False
    max_scale: float = 1.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    paste: float = 0.0
    transplant: float = 0.0


class View(NamedTuple):
    """One photograph with its mask and void, in whatever geometry they are in by now.

    category_map: where wanted, 1 + the index of the category at each pixel, 0 where there is none.
    """

    image: UInt8[Ndarray, "H W 3"]
    mask: Bool[Ndarray, "H W"]
    void: Bool[Ndarray, "H W"]
    category_map: UInt8[Ndarray, "H W"] | None = None

    def with_each(self, change: Callable[[Ndarray], Ndarray]) -> "View":
        """The same change made to every array."""
        return View(
            change(self.image),
            change(self.mask),
            change(self.void),
            None if self.category_map is None else change(self.category_map),
        )


def check_options(options: AugmentOptions) -> None:
    """Raises ValueError when an option is out of its range."""
    if not 1.0 <= options.max_scale <= 10.0:
        raise ValueError(f"augment.max_scale is {options.max_scale}; expected 1 (off) to 10")
    for field in ("brightness", "contrast", "saturation", "paste", "transplant"):
        if not 0.0 <= getattr(options, field) <= 1.0:
            raise ValueError(f"augment.{field} is {getattr(options, field)}; expected 0 (off) to 1")


def network_view(view: View, size: int, rng: np.random.Generator, options: AugmentOptions) -> View:
    """One random version of a photograph at the network's size: crop, resize, flip, colours."""
    if options.max_scale > 1.0:
        view = random_crop(view, rng, options.max_scale)
    view = resized(view, size)
    if drawn_flip(rng, options):
        view = flipped(view)
    return view._replace(image=jittered(view.image, rng, options))


def drawn_flip(rng: np.random.Generator, options: AugmentOptions) -> bool:
    """Whether this photograph is mirrored."""
    return options.flip and bool(rng.random() < 0.5)


def flipped(view: View) -> View:
    """Mirrors left to right."""
    return view.with_each(lambda array: np.ascontiguousarray(array[:, ::-1]))


def random_crop(view: View, rng: np.random.Generator, max_scale: float) -> View:
    """Cuts out a window 1 to `max_scale` times smaller on each side that holds a foreground pixel.

    Without any foreground the window lies anywhere.
    """
    height, width = view.mask.shape
    scale = float(np.exp(rng.uniform(0.0, np.log(max_scale))))
    window_height, window_width = max(1, round(height / scale)), max(1, round(width / scale))
    top_range, left_range = (0, height - window_height), (0, width - window_width)
    foreground = np.flatnonzero(view.mask)
    if foreground.size:
        row, column = divmod(int(rng.choice(foreground)), width)
        top_range = _starts_that_hold(row, window_height, height)
        left_range = _starts_that_hold(column, window_width, width)
    top = int(rng.integers(*top_range, endpoint=True))
    left = int(rng.integers(*left_range, endpoint=True))
    window = np.s_[top : top + window_height, left : left + window_width]
    return view.with_each(lambda array: np.ascontiguousarray(array[window]))


def jittered(
    image: UInt8[Ndarray, "H W 3"], rng: np.random.Generator, options: AugmentOptions
) -> UInt8[Ndarray, "H W 3"]:
    """Changes brightness, contrast and saturation by random factors."""
    enhancers = (
        (ImageEnhance.Brightness, options.brightness),
        (ImageEnhance.Contrast, options.contrast),
        (ImageEnhance.Color, options.saturation),
    )
    picture = Image.fromarray(image)
    for enhancer, spread in enhancers:
        if spread > 0.0:
            picture = enhancer(picture).enhance(1.0 + rng.uniform(-spread, spread))
    return np.array(picture)


def resized(view: View, size: int) -> View:
    """Resizes a photograph and its masks to the network's square input."""
    masks = view.with_each(
        lambda array: array if array is view.image else resized_mask(array, size)
    )
    return masks._replace(image=resized_image(view.image, size))


def resized_image(image: UInt8[Ndarray, "H W 3"], size: int) -> UInt8[Ndarray, "S S 3"]:
    """Resizes to `size` x `size` pixels: bilinear, antialiased where it shrinks."""
    picture = Image.fromarray(image)
    return np.array(picture.resize((size, size), resample=Image.Resampling.BILINEAR))


def resized_mask(mask: Shaped[Ndarray, "H W"], size: int) -> Shaped[Ndarray, "S S"]:
    """Resizes to `size` x `size` pixels by nearest neighbour (centres of pixels aligned)."""
    rows, columns = (_nearest(length, size) for length in mask.shape)
    return mask[rows[:, None], columns[None, :]]


def _nearest(length: int, size: int) -> np.ndarray:
    """For each of `size` cells, the one of `length` pixels in which its centre lies."""
    return ((2 * np.arange(size) + 1) * length) // (2 * size)


def _starts_that_hold(position: int, window: int, length: int) -> tuple[int, int]:
    """The first and last start of a window inside `length` that holds `position`."""
    return max(0, position - window + 1), min(position, length - window)
