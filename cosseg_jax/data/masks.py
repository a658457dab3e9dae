"""Label files and masks to arrays. They are never turned by EXIF tags of their own.

A label file holds the index of a category at each pixel. A mask shows where one object is, in any
of the ways in which people draw masks; `decode_object` tells them apart.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image

from cosseg_jax.data.colours import DEEP_MODES, ORIENTATION
from cosseg_jax.data.opening import label_of, open_header, open_image, undecodable
from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

LOSSY_FORMATS = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF", "HEIF")
JPEG_NOISE = 16  # the brightest value that a black lossy mask may have
DIM = 128  # a lossy mask without a brighter value is told of
FLAT_SHARE, MOST_IDS = 0.1, 64  # what tells ids from soft edges and from probability maps
EDGE_SHARE = 0.25  # of a mask's pixels; more lie on no edge
VOID_LABEL = 255  # in a label map: not known
VOC_VOID = (224, 224, 192)  # its colour in VOC's palette
MOST_TOLD, MOST_LISTED = 5, 10  # masks that warnings name, and values of each
TURNS = {  # what the values of EXIF's orientation ask for where height and width change places
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_labels(encoded: bytes | Path, name: str = "") -> UInt8[Ndarray, "H W"]:
    """Decodes a label file to the index of every pixel, 0..255; a palette's colours do not count.

    Raises UserError when it does not decode or has neither a palette nor 8-bit grey.
    """
    opened = open_image(encoded, name)
    if opened.mode not in ("P", "L", "1"):
        raise UserError(
            f"label file {label_of(encoded, name)} has mode {opened.mode}; expected indices, that "
            "is a palette (P) or 8-bit grey (L) PNG as in the devkit's SegmentationClass/"
        )
    return np.array(opened, dtype=np.uint8)


def decode_mask(encoded: bytes | Path, name: str = "") -> Bool[Ndarray, "H W"]:
    """Decodes a mask to True on the object; void is not. Raises as `decode_object`."""
    return decode_object(encoded, name) == 1


def decode_object(encoded: bytes | Path, name: str = "") -> UInt8[Ndarray, "H W"]:
    """Decodes a mask to 1 on the object, VOID_LABEL where that is not known, and 0 elsewhere.

    The object is, by the first of these that applies,

    - where alpha is above one half, if the mask is transparent anywhere (a cut-out);
    - in a palette with colours, every index but 0; or every colour but black, where index 0 is
      another colour and black occurs. The colour of VOC's index 255 is void;
    - in lossy files, whose black is noisy, what is brighter than half of the brightest value;
    - in ids, which have flat areas of several values, every value but 0;
    - otherwise what is brighter than half of the brightest value: 0/1, 0/255, soft edges.

    A pixel's value is its brightest colour channel. A black mask has no object. A warning names the
    first files whose values leave a doubt, and the values.

    Raises UserError, naming `name` or the path, when it does not decode or is not finite.
    """
    opened = open_image(encoded, name)
    label = label_of(encoded, name)
    alpha = _alpha(opened)
    if alpha is not None:
        found = alpha > 127
    elif opened.mode == "P" and not _is_grey(opened):
        found = _object_by_index(opened, label)
    else:
        found = _object_by_value(_brightness(opened, label), opened.format in LOSSY_FORMATS, label)
    return np.where(_is_void(opened), VOID_LABEL, found).astype(np.uint8)  # [H, W]


def encode_labels(labels: UInt8[Ndarray, "H W"]) -> bytes:
    """Encodes a label map, 0..255, as a grey PNG, which `decode_labels` reads."""
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, format="PNG")
    return buffer.getvalue()


def turned_like(labels: Shaped[Ndarray, "H W"], image: bytes | Path) -> Shaped[Ndarray, "_ _"]:
    """Turns a mask or label map by a quarter, as `decode_image` turns the image by its EXIF tag.

    It stays as it is where the tag leaves height and width in their places.
    """
    turn = TURNS.get(_orientation(image))
    return labels if turn is None else np.array(Image.fromarray(labels).transpose(turn))


def upright_size(image: bytes | Path) -> tuple[int, int]:
    """Height and width of an image when it is turned by its EXIF tag; raises UserError."""
    width, height = open_header(image).size
    return (width, height) if _orientation(image) in TURNS else (height, width)


def _orientation(image: bytes | Path) -> int:
    try:
        return open_header(image).getexif().get(ORIENTATION, 1)
    except UserError:
        raise
    except Exception as error:  # for a PNG file, Pillow decodes the pixels as well
        raise UserError(undecodable(label_of(image, ""), error)) from error


def _alpha(opened: Image.Image) -> UInt8[Ndarray, "H W"] | None:
    """The alpha channel; None where it is opaque everywhere or has one value other than 0."""
    if not opened.has_transparency_data or opened.mode in DEEP_MODES:
        return None
    alpha = np.asarray(opened.convert("RGBA").getchannel("A"))
    return None if alpha.min() == alpha.max() > 0 else alpha


def _is_void(opened: Image.Image) -> Bool[Ndarray, "H W"] | bool:
    """The pixels that have the colour of void in VOC's label files; of few-coloured masks only."""
    if opened.mode == "P":
        return np.asarray(opened) == 255 if tuple(_palette(opened)[255]) == VOC_VOID else False
    if opened.mode != "RGB" or opened.format in LOSSY_FORMATS or not opened.getcolors(256):
        return False
    return (np.asarray(opened) == VOC_VOID).all(axis=2)


def _palette(opened: Image.Image) -> UInt8[Ndarray, "256 3"]:
    colours = np.zeros((256, 3), np.uint8)
    given = np.array(opened.getpalette("RGB"), np.uint8).reshape(-1, 3)[:256]
    colours[: len(given)] = given
    return colours


def _used(opened: Image.Image) -> list[int]:
    """The indices that occur in an image with a palette."""
    return [index for index, count in enumerate(opened.histogram()) if count]


def _is_grey(opened: Image.Image) -> bool:
    colours = _palette(opened)[_used(opened)]
    return bool((colours == colours[:, :1]).all())


def _object_by_index(opened: Image.Image, label: str) -> Bool[Ndarray, "H W"]:
    colours, used = _palette(opened), _used(opened)
    black = [index for index in used if not colours[index].any()]
    background = black if black and colours[0].any() else [0]
    ids = [index for index in used if tuple(colours[index]) != VOC_VOID]
    if len(ids) > 2:
        _tell(label, ids, "every index but that of the background is the object")
    return ~np.isin(np.asarray(opened), background)


def _brightness(opened: Image.Image, label: str) -> Shaped[Ndarray, "H W"]:
    """The brightest colour channel of each pixel."""
    if opened.mode == "F" and not np.isfinite(np.asarray(opened)).all():
        raise UserError(f"{label} has values that are NaN or infinite; a mask has finite ones")
    if opened.mode in ("L", "F", *DEEP_MODES):
        return np.asarray(opened)
    return np.asarray(opened.convert("RGB")).max(axis=2)


def _object_by_value(
    values: Shaped[Ndarray, "H W"], lossy: bool, label: str
) -> Bool[Ndarray, "H W"]:
    top = values.max()
    between = (values > 0) & (values < top)
    if lossy and 0 < top < DIM:
        is_black = top <= JPEG_NOISE
        _tell(label, [0, top], "no object" if is_black else f"the object is above {top / 2:g}")
        return np.zeros(values.shape, bool) if is_black else values > top / 2
    if lossy or not between.any():
        return values > top / 2
    levels = np.unique(values)
    flat = len(levels) > 2 and _flat(values)[between].mean() > FLAT_SHARE
    if flat and len(levels) <= MOST_IDS:
        _tell(label, levels, "every value but 0 is the object")
        return values > 0
    if flat or (len(levels) > 2 and between.mean() > EDGE_SHARE):
        _tell(label, levels, f"the object is above {top / 2:g}")
    return values > top / 2


def _flat(values: Shaped[Ndarray, "H W"]) -> Bool[Ndarray, "H W"]:
    """Whether the pixels above, below, left and right have a pixel's own value."""
    flat = np.ones(values.shape, bool)
    rows, columns = values[1:] == values[:-1], values[:, 1:] == values[:, :-1]
    flat[1:] &= rows
    flat[:-1] &= rows
    flat[:, 1:] &= columns
    flat[:, :-1] &= columns
    return flat


def _tell(label: str, values: Sequence[Any] | Ndarray, meaning: str) -> None:
    listed = ", ".join(f"{value:g}" for value in values[:MOST_LISTED])
    listed += f" to {values[-1]:g}" if len(values) > MOST_LISTED else ""
    logging.log_first_n(
        logging.WARNING,
        "mask %s has the values %s; taken as: %s (no more than %d masks are named)",
        MOST_TOLD,
        label,
        listed,
        meaning,
        MOST_TOLD,
    )
