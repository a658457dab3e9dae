"""A user's photographs, however they come: files, encoded bytes, PIL images or arrays, to RGB."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from cosseg_jax import heic
from cosseg_jax.data.decoding import check_range, decode_image, upright_rgb
from cosseg_jax.types import Ndarray

Photo = str | os.PathLike[str] | bytes | Image.Image | Ndarray


class Photograph(NamedTuple):
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


def read_photograph(photo: Photo, name: str) -> Photograph:
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
        return Photograph(path.stem, _decoded(path))
    if isinstance(photo, bytes):
        return Photograph(name, decode_image(photo, name))
    if isinstance(photo, Image.Image):
        check_range(photo, name)
        try:
            return Photograph(name, upright_rgb(photo))
        except Exception as error:  # Pillow raises anything on a broken file
            raise ValueError(f"{name} does not decode as an image ({error})") from error
    if isinstance(photo, np.ndarray):
        return Photograph(name, _rgb(photo, name))
    raise TypeError(
        f"{name} is a {type(photo).__name__}; give a path, a file's bytes, a PIL image or a uint8 "
        "array [H, W, 3]"
    )


def _decoded(path: Path) -> UInt8[Ndarray, "H W 3"]:
    heic.register()
    try:
        return decode_image(path)
    except ValueError as error:
        if advice := heic.advice(path):
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
