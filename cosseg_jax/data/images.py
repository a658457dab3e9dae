"""Encoded photographs and label files to arrays: RGB of 8 bits, label indices, binary masks.

A photograph is turned upright by its EXIF tag and becomes RGB, whatever it was: grey, palette,
CMYK, 16 bits, with alpha (which is dropped). Label files are never turned by tags of their own.

A user's photographs, however they come: files, encoded bytes, PIL images or arrays, to RGB.

HEIC photographs, as phones take them: read where the library pillow-heif is installed.
"""

import importlib.util
import io
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "JPEG2000")
ORIENTATION = 0x0112  # the tag in EXIF
TURNS = {  # what its values ask for, where height and width change places
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(encoded: bytes | Path, name: str = "") -> UInt8[Ndarray, "H W 3"]:
    """Decodes a photograph, given as a file's bytes or its path, to upright RGB, 0..255.

    Raises ValueError, naming `name` or the path, when it does not decode or is of floats.
    """
    opened = _open(encoded, name)
    check_range(opened, _called(encoded, name))
    try:
        return upright_rgb(opened)
    except Exception as error:  # Pillow raises anything on a broken file
        raise ValueError(_undecodable(encoded, name, error)) from error


def check_range(opened: Image.Image, name: str) -> None:
    """Raises ValueError for floating-point pixels, of which nothing says what is white."""
    if opened.mode == "F":
        raise ValueError(
            f"{name} has floating-point pixels, and nothing says which of them are white; "
            "save it with 8 or 16 bits a channel"
        )


def upright_rgb(opened: Image.Image) -> UInt8[Ndarray, "H W 3"]:
    """A photograph of any mode as RGB, 0..255, turned by its EXIF tag."""
    upright = ImageOps.exif_transpose(opened)
    if upright.mode in SIXTEEN_BIT_MODES:
        return np.repeat(_high_byte(upright)[:, :, None], 3, axis=2)  # [H, W, 3]
    if upright.mode == "P" and upright.has_transparency_data:
        upright = upright.convert("RGBA")  # Pillow warns of the direct way
    return np.array(upright.convert("RGB"))


def decode_labels(encoded: bytes | Path, name: str = "") -> UInt8[Ndarray, "H W"]:
    """Decodes a label file to the index of every pixel, 0..255; a palette's colours do not count.

    Raises ValueError when it does not decode or is neither of palette nor of 8-bit grey.
    """
    opened = _open(encoded, name)
    if opened.mode not in ("P", "L", "1"):
        raise ValueError(
            f"label file {_called(encoded, name)} has mode {opened.mode}; expected indices, that "
            f"is a palette (P) or 8-bit grey (L) PNG as in the devkit's SegmentationClass/"
        )
    return np.array(opened, dtype=np.uint8)


def decode_mask(encoded: bytes | Path, name: str = "") -> Bool[Ndarray, "H W"]:
    """Decodes a benchmark's mask of any mode to foreground and background.

    A pixel's value is its brightest colour channel times its opacity. Foreground is what lies
    above half of the brightest value in the mask, so that 0/1, 0/255 and black/colour all work;
    in lossy files, where black is noisy, it is what lies above half of the full range.
    A mask that is all black is a photograph without the object.

    Raises ValueError, naming `name` or the path, when it does not decode.
    """
    opened = _open(encoded, name)
    values = _brightness(opened)
    ceiling = 255.0 if opened.format in LOSSY_FORMATS else float(values.max())
    return values > ceiling / 2


def encode_labels(labels: UInt8[Ndarray, "H W"]) -> bytes:
    """Encodes a label map, 0..255, as a grey PNG, which `decode_labels` reads."""
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG")
    return buffer.getvalue()


def turned_like(labels: UInt8[Ndarray, "H W"], photograph: Path) -> UInt8[Ndarray, "_ _"]:
    """Turns a label map by a quarter, as `decode_image` turns the photograph by its EXIF tag.

    As it was, where the tag leaves height and width in their places.
    """
    with Image.open(photograph) as opened:
        turn = TURNS.get(opened.getexif().get(ORIENTATION, 1))
    return labels if turn is None else np.array(Image.fromarray(labels).transpose(turn))


def _open(encoded: bytes | Path, name: str) -> Image.Image:
    """Opens and fully reads an encoded picture, so that a truncated one fails here."""
    content = encoded if isinstance(encoded, bytes) else encoded.read_bytes()
    try:
        opened = Image.open(io.BytesIO(content))
        opened.load()
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{_called(encoded, name)} has more pixels than are read ({error}); make it smaller "
            "first, or raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:  # Pillow raises anything on a broken file
        reason = error if content else "it is empty"
        raise ValueError(_undecodable(encoded, name, reason)) from error
    return opened


def _brightness(opened: Image.Image) -> np.ndarray:
    """The brightest colour channel of each pixel, over black where it is transparent."""
    if opened.mode in ("1", "L", "F", *SIXTEEN_BIT_MODES):
        return np.asarray(opened, dtype=np.float32)
    rgba = np.asarray(opened.convert("RGBA"), dtype=np.float32)
    return rgba[:, :, :3].max(axis=2) * rgba[:, :, 3] / 255.0


def _high_byte(grey: Image.Image) -> np.ndarray:
    values = np.asarray(grey).astype(np.int64)
    return (np.clip(values, 0, 65535) >> 8).astype(np.uint8)


def _called(encoded: bytes | Path, name: str) -> str:
    return name or (str(encoded) if isinstance(encoded, Path) else "(unnamed)")


def _undecodable(encoded: bytes | Path, name: str, reason: Exception | str) -> str:
    if isinstance(reason, UnidentifiedImageError):
        reason = "its format is none that we know"
    return (
        f"{_called(encoded, name)} does not decode as an image ({reason}); "
        "replace the file by an intact copy"
    )


ImageLike = str | os.PathLike[str] | bytes | Image.Image | Ndarray


class NamedImage(NamedTuple):
    """A decoded photograph.

    name: the file's name without its suffix, or what the caller gave.
    image: upright RGB, 0..255, at its own size.
    """

    name: str
    image: UInt8[Ndarray, "H W 3"]


def check_list(photos: Any) -> None:
    """Raises ValueError unless it is a list of photographs or one array [N, H, W, C] of them."""
    one = isinstance(photos, str | bytes | os.PathLike | Image.Image)
    if one or (isinstance(photos, np.ndarray) and photos.ndim < 4):
        raise ValueError(
            f"photos is a single {type(photos).__name__}, not a list; put it into one: [photo]"
        )
    if not len(photos):
        raise ValueError("photos is empty; give one photograph or more")


def read_image(photo: ImageLike, name: str) -> NamedImage:
    """Any photograph as RGB; of an animation the first picture.

    Args:
        photo: a path; a file's bytes; a PIL image; or an array: uint8, [H, W], [H, W, 1],
            [H, W, 3] or [H, W, 4], whose fourth channel is dropped.
        name: for the result and for messages, where the photograph is no file.

    Raises:
        FileNotFoundError: for a path that leads nowhere.
        ValueError: for what is no photograph; names it.
        TypeError: for an object of another type.
    """
    if isinstance(photo, str | os.PathLike):
        path = Path(photo)
        if not path.is_file():
            found = "a link that leads nowhere" if path.is_symlink() else "no file"
            raise FileNotFoundError(f"{path} is {found}; give the path of a photograph")
        return NamedImage(path.stem, _decoded(path))
    if isinstance(photo, bytes):
        return NamedImage(name, decode_image(photo, name))
    if isinstance(photo, Image.Image):
        check_range(photo, name)
        try:
            return NamedImage(name, upright_rgb(photo))
        except Exception as error:  # Pillow raises anything on a broken file
            raise ValueError(f"{name} does not decode as an image ({error})") from error
    if isinstance(photo, np.ndarray):
        return NamedImage(name, _rgb(photo, name))
    raise TypeError(
        f"{name} is a {type(photo).__name__}; give a path, a file's bytes, a PIL image or a uint8 "
        "array [H, W, 3]"
    )


def _decoded(path: Path) -> UInt8[Ndarray, "H W 3"]:
    register_heic()
    try:
        return decode_image(path)
    except ValueError as error:
        if advice := heic_advice(path):
            raise ValueError(f"{path} does not decode: {advice}") from error
        raise


def _rgb(array: Shaped[Ndarray, "..."], name: str) -> UInt8[Ndarray, "H W 3"]:
    channels = array.shape[2:] if array.ndim == 3 else (1,) if array.ndim == 2 else ()
    if array.dtype != np.uint8 or channels not in ((1,), (3,), (4,)) or not array.size:
        raise ValueError(
            f"{name} is an array of {array.dtype} and shape {array.shape}; expected uint8, 0..255, "
            "of shape [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]"
        )
    array = array.reshape(*array.shape[:2], -1)
    return np.repeat(array, 3, axis=2) if channels == (1,) else np.ascontiguousarray(array[..., :3])


HEIC_SUFFIXES = (".heic", ".heif")
LIBRARY = "pillow_heif"


def register_heic() -> bool:
    """Teaches Pillow to open HEIC files; False if the library is not there."""
    if importlib.util.find_spec(LIBRARY) is None:
        return False
    importlib.import_module(LIBRARY).register_heif_opener()
    return True


def heic_advice(path: Path) -> str:
    """What to install, for a photograph that takes the library; else nothing."""
    if path.suffix.casefold() not in HEIC_SUFFIXES or importlib.util.find_spec(LIBRARY) is not None:
        return ""
    return "to read HEIC photographs, pip install pillow-heif"


def resize_image(image: UInt8[Ndarray, "H W 3"], size: int) -> UInt8[Ndarray, "S S 3"]:
    """Resizes to `size` x `size` pixels: bilinear, antialiased where it shrinks."""
    picture = Image.fromarray(image)
    return np.array(picture.resize((size, size), resample=Image.Resampling.BILINEAR))


def resize_mask(mask: Shaped[Ndarray, "H W"], size: int) -> Shaped[Ndarray, "S S"]:
    """Resizes to `size` x `size` pixels by nearest neighbour (centres of pixels aligned)."""
    rows, columns = (_nearest(length, size) for length in mask.shape)
    return mask[rows[:, None], columns[None, :]]


def _nearest(length: int, size: int) -> np.ndarray:
    """For each of `size` cells, the one of `length` pixels in which its centre lies."""
    return ((2 * np.arange(size) + 1) * length) // (2 * size)


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
        stored = Path(os.path.abspath(file)) if file and os.path.isfile(file) else None
        return Reopenable(name, stored, weakref.ref(source), sorted(source.size))
    if isinstance(source, np.ndarray):
        return Reopenable(name, None, _weak_array(source))
    return Reopenable(name, source if isinstance(source, bytes) else Path(os.path.abspath(source)))


def _weak_array(array: np.ndarray) -> Callable[[], np.ndarray | None]:
    """A weak reference to an array; to the array that owns the pixels, if this one is a view.

    The images of one array [N, H, W, 3] are views that nobody else keeps.
    """
    base = array.base
    if not isinstance(base, np.ndarray) or not base.flags.c_contiguous:
        return weakref.ref(array)
    owner, offset = weakref.ref(base), array.ctypes.data - base.ctypes.data
    shape, dtype, strides = array.shape, array.dtype, array.strides

    def view() -> np.ndarray | None:
        pixels = owner()
        return None if pixels is None else np.ndarray(shape, dtype, pixels, offset, strides)

    return view
