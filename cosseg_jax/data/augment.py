"""What happens to a photograph and its masks before the network sees them (section 4.1).

Resizing squeezes a photograph to the network's square input without keeping its aspect, as the
paper does: images bilinear with antialiasing, masks by nearest neighbour. Augmentation is beyond
the paper and off by default; where things lie stays the same for image, mask and void.

Objects cut out of one photograph and put into another (Ghiasi et al. 2021, "Simple copy-paste").

Beyond the paper, and off by default. An object of a category that the group does not share, put
into one of its photographs, shows that the salient object need not be the one that is meant. The
group's own object before the background of another photograph is a new photograph of it, which
counts where there are few.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image, ImageEnhance, ImageFilter

from cosseg_jax.data.images import resize_image, resize_mask
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
    copy_paste: float = 0.0
    background_swap: float = 0.0


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
    for field in ("brightness", "contrast", "saturation", "copy_paste", "background_swap"):
        if not 0.0 <= getattr(options, field) <= 1.0:
            raise ValueError(f"augment.{field} is {getattr(options, field)}; expected 0 (off) to 1")


def network_view(view: View, size: int, rng: np.random.Generator, options: AugmentOptions) -> View:
    """One random version of a photograph at the network's size: crop, resize, flip, colours."""
    if options.max_scale > 1.0:
        view = random_crop(view, rng, options.max_scale)
    view = resize_view(view, size)
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


def resize_view(view: View, size: int) -> View:
    """Resizes a photograph and its masks to the network's square input."""
    masks = view.with_each(
        lambda array: array if array is view.image else resize_mask(array, size)
    )
    return masks._replace(image=resize_image(view.image, size))


def _starts_that_hold(position: int, window: int, length: int) -> tuple[int, int]:
    """The first and last start of a window inside `length` that holds `position`."""
    return max(0, position - window + 1), min(position, length - window)


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
