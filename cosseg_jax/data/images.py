"""Images in any form to arrays: RGB, 0..255, upright, as a viewer shows them.

Users give files, encoded bytes, PIL images or arrays; data sets hold encoded files. What is opened
and how it becomes RGB is in `opening` and `colours`; `resizing` makes it smaller.
"""

import os
import re
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from cosseg_jax.data.colours import to_srgb
from cosseg_jax.data.opening import label_of, load_pixels, open_image, undecodable
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Ndarray

ImageLike = str | os.PathLike[str] | bytes | Image.Image | Ndarray


class NamedImage(NamedTuple):
    """A decoded image.

    name: the file's name without its suffix, or what the caller gave.
    image: upright RGB, 0..255, at its own size.
    """

    name: str
    image: UInt8[Ndarray, "H W 3"]


def decode_image(encoded: bytes | Path, name: str = "") -> UInt8[Ndarray, "H W 3"]:
    """Decodes an image, given as a file's bytes or its path, to upright sRGB, 0..255.

    Raises UserError, naming `name` or the path, when it does not decode or is refused.
    """
    return _pixels_of(open_image(encoded, name), label_of(encoded, name))


def check_list(images: Any) -> None:
    """Raises UserError unless it is a list of images, or one array [N, H, W, C] of them."""
    kind = type(images).__name__
    single = isinstance(images, str | bytes | os.PathLike | Image.Image)
    if single or (isinstance(images, np.ndarray) and images.ndim < 4):
        raise UserError(f"photos is a single {kind}, not a list; put it into one: [photo]")
    if isinstance(images, Mapping) or not isinstance(images, Collection):
        raise UserError(f"photos is a {kind}; give a list of photos")
    if not len(images):
        raise UserError("photos is empty; give one photo or more")


def read_image(source: ImageLike, name: str) -> NamedImage:
    """Any image as RGB; of an animation the first picture.

    Args:
        source: a path; a file's bytes; a PIL image; or an array: uint8, [H, W], [H, W, 1],
            [H, W, 3] or [H, W, 4], whose fourth channel is dropped.
        name: for the result and for messages, unless the image is a file.

    Raises:
        MissingFileError: for a path that leads nowhere.
        UserError: for what is not an image, naming it.
        TypeError: for an object of another type.
    """
    if isinstance(source, str | os.PathLike):
        path = existing_file(source)
        return NamedImage(path.stem, decode_image(path))
    if isinstance(source, bytes):
        return NamedImage(name, decode_image(source, name))
    if isinstance(source, Image.Image):
        load_pixels(source, name)
        return NamedImage(name, _pixels_of(source, name))
    if isinstance(source, np.ndarray):
        return NamedImage(name, _of_array(source, name))
    raise TypeError(
        f"{name} is a {type(source).__name__}; give a path, a file's bytes, a PIL image or a uint8 "
        "array [H, W, 3]"
    )


def existing_file(source: str | os.PathLike[str]) -> Path:
    """The path of an image file. Raises MissingFileError for anything else, such as a URL."""
    path = Path(source)
    if path.is_file():
        return path
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(source), re.IGNORECASE):
        raise MissingFileError(f"{source} is a URL; download the photo and give its path")
    if path.is_dir():
        raise MissingFileError(f"{path} is a folder; give the paths of the photos in it")
    found = "a link that leads nowhere" if path.is_symlink() else "no file"
    raise MissingFileError(f"{path} is {found}; give the path of a photo")


class Reopenable(NamedTuple):
    """An image that can be read again later although its pixels are not kept until then.

    name: the image's name in messages.
    stored: the file's path or bytes, or None for an object in memory without a file.
    live: returns the PIL image or array while the caller keeps it, else None.
    sides: the shorter and longer side of a PIL image, which a file read in its place must have.
    """

    name: str
    stored: Path | bytes | None
    live: Callable[[], Image.Image | Ndarray | None] = lambda: None
    sides: list[int] | None = None

    def read(self) -> UInt8[Ndarray, "H W 3"]:
        """Decodes the image again, to upright RGB. Raises UserError when it no longer exists."""
        source = self.live()
        if source is not None:
            return read_image(source, self.name).image
        found = None if self.stored is None else read_image(self.stored, self.name).image
        if found is None or (self.sides and sorted(found.shape[:2]) != self.sides):
            kind = "a PIL image" if self.sides else "an array"
            raise UserError(
                f"image {self.name} was given as {kind} that no longer exists; "
                "keep it, or give its path or bytes"
            )
        return found


def reopenable(source: ImageLike, name: str) -> Reopenable:
    """Keeps what is needed to read an image again: paths and bytes, but no decoded pixels.

    PIL images and arrays are referred to weakly: they can be read while the caller keeps them. A
    PIL image that was opened from a file is read from there when it is gone.
    """
    if isinstance(source, Image.Image):
        file = getattr(source, "filename", None)
        stored = Path(file).absolute() if file and Path(file).is_file() else None
        return Reopenable(name, stored, weakref.ref(source), sorted(source.size))
    if isinstance(source, np.ndarray):
        return Reopenable(name, None, _weak_array(source))
    return Reopenable(name, source if isinstance(source, bytes) else Path(source).absolute())


def _pixels_of(opened: Image.Image, label: str) -> UInt8[Ndarray, "H W 3"]:
    """The pixels of a PIL image as RGB."""
    try:
        return to_srgb(opened, label)
    except UserError:
        raise
    except Exception as error:  # Pillow raises anything on a broken file
        raise UserError(undecodable(label, error)) from error


def _of_array(array: Shaped[Ndarray, "..."], name: str) -> UInt8[Ndarray, "H W 3"]:
    channels = array.shape[2:] if array.ndim == 3 else (1,) if array.ndim == 2 else ()
    if array.dtype != np.uint8 or channels not in ((1,), (3,), (4,)) or not array.size:
        raise UserError(
            f"{name} is an array of {array.dtype} and shape {array.shape}; expected uint8, 0..255, "
            "of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]"
        )
    array = array.reshape(*array.shape[:2], -1)
    return np.repeat(array, 3, axis=2) if channels == (1,) else np.ascontiguousarray(array[..., :3])


def _weak_array(array: Ndarray) -> Callable[[], Ndarray | None]:
    """A weak reference to an array; to the array that owns the pixels, if this one is a view.

    The images of one array [N, H, W, 3] are views that nobody else keeps.
    """
    base = array.base
    if not isinstance(base, np.ndarray) or not base.flags.c_contiguous:
        return weakref.ref(array)
    owner, offset = weakref.ref(base), array.ctypes.data - base.ctypes.data
    shape, dtype, strides = array.shape, array.dtype, array.strides

    def view() -> Ndarray | None:
        pixels = owner()
        return None if pixels is None else np.ndarray(shape, dtype, pixels, offset, strides)

    return view
