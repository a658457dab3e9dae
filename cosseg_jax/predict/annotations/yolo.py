"""YOLO's segmentation format: a text file for each image, a line for each object.

labels/<stem>.txt   the class, counted from 0, and a polygon's corners as shares of the sides
data.yaml           the names of the classes

An object is one polygon. So each connected part of a mask is an object of its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from cosseg_jax.files import write_whole
from cosseg_jax.predict.annotations.images import AnnotatedImage, Images, numbers_of
from cosseg_jax.predict.annotations.parts import LEAST_PART, connected_parts
from cosseg_jax.predict.annotations.polygons import pixel_polygons
from cosseg_jax.types import Ndarray

DATA_FILE, LABELS = Path("data.yaml"), Path("labels")
IN_PIXEL = 0.25  # of a pixel from its upper left corner, whence readers find it by either rounding


def yolo_files(stems: Sequence[str]) -> list[Path]:
    """The files, relative to their folder."""
    return [DATA_FILE, *(LABELS / f"{stem}.txt" for stem in stems)]


def write_yolo(folder: Path, images: Images, classes: Sequence[str]) -> None:
    """Writes the files of all images; that of an image without an object is empty."""
    for image in images():
        text = "".join(_lines(image, numbers_of(classes)))
        write_whole(folder / LABELS / f"{image.stem}.txt", text.encode())
    quoted = [json.dumps(name, ensure_ascii=False) for name in classes]
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(quoted))
    text = f"train: images\nval: images\nnc: {len(classes)}\nnames:\n{names}"
    write_whole(folder / DATA_FILE, text.encode(errors="replace"))


def _lines(image: AnnotatedImage, numbers: dict[str, int]) -> list[str]:
    return [
        _line(numbers[name] - 1, part)
        for name, found in image.classes.items()
        for mask in found.masks()
        for part in connected_parts(mask, LEAST_PART * mask.size)
    ]


def _line(number: int, part: Bool[Ndarray, "H W"]) -> str:
    """A connected part; corners are in its outermost pixels."""
    height, width = part.shape
    (corners,) = pixel_polygons(part)
    corners = corners if len(corners) > 2 else np.repeat(corners, 3, axis=0)
    shares = (corners + IN_PIXEL) / (width, height)
    return " ".join([str(number), *(f"{share:.7g}" for share in shares.ravel())]) + "\n"
