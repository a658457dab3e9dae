"""The files that `cosseg segment` writes: what they are called, and how each is made.

DIR/masks/<name>.png      grey, 0 and 255
DIR/cutouts/<name>.png    RGBA, transparent and black outside of the mask
DIR/overlays/<name>.jpg   the mask in green, the rest darkened
DIR/segmentation.json     all masks in COCO's format
"""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from cosseg_jax.data.images import read_image
from cosseg_jax.drawing import tinted
from cosseg_jax.files import save_mask, write_whole
from cosseg_jax.types import Ndarray

SUFFIXES = {"masks": ".png", "cutouts": ".png", "overlays": ".jpg"}
JSON_FILE = "segmentation.json"
ROWS = 256  # of a photograph that are tinted at once
QUALITY = 90  # of JPEG


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for the files of each photograph: its own without suffix; of equals, numbered ones.

    Of a.jpg, a.png and a_2.jpg they are a, a_3 and a_2. Upper and lower case count as equal, since
    they are on some disks.
    """
    own = {path.stem.casefold() for path in paths}
    taken: set[str] = set()
    names = []
    for path in paths:
        name, number = path.stem, 2
        while name.casefold() in taken or (name != path.stem and name.casefold() in own):
            name, number = f"{path.stem}_{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def planned(folder: Path, names: Iterable[str], kinds: Sequence[str]) -> list[Path]:
    """All files that will be written."""
    paths = [file_of(folder, kind, name) for name in names for kind in SUFFIXES if kind in kinds]
    return [*paths, folder / JSON_FILE] if "json" in kinds else paths


def file_of(folder: Path, kind: str, name: str) -> Path:
    """Where a photograph's file of one kind lies."""
    return folder / kind / f"{name}{SUFFIXES[kind]}"


def write(
    folder: Path, name: str, photo: Path, mask: Bool[Ndarray, "H W"], kinds: Sequence[str]
) -> dict[str, Path]:
    """Writes one photograph's files, each whole or not at all; returns them by kind."""
    files = {kind: file_of(folder, kind, name) for kind in SUFFIXES if kind in kinds}
    if "masks" in files:
        save_mask(files["masks"], mask)
    if files.keys() & {"cutouts", "overlays"}:
        image = read_image(photo, name).image
        if "cutouts" in files:
            write_whole(files["cutouts"], encoded(cutout(image, mask), "PNG"))
        if "overlays" in files:
            write_whole(files["overlays"], encoded(overlay(image, mask), "JPEG"))
    return files


def cutout(image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 4"]:
    """The object as RGBA; what is transparent is black, so that the file hides nothing."""
    rgba = np.zeros((*mask.shape, 4), np.uint8)
    rgba[mask, :3] = image[mask]
    rgba[mask, 3] = 255
    return rgba


def overlay(image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 3"]:
    """The photograph with its mask in green; made in strips, which takes less memory."""
    starts = range(0, len(image), ROWS)
    strips = [tinted(image[row : row + ROWS], mask[row : row + ROWS]) for row in starts]
    return np.concatenate(strips)


def encoded(picture: UInt8[Ndarray, "H W C"], file_format: str) -> bytes:
    """A picture as the content of a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=file_format, quality=QUALITY)
    return buffer.getvalue()


def relative_names(paths: Sequence[Path]) -> list[str]:
    """The paths below the deepest folder that holds them all, with forward slashes."""
    absolute = [path.absolute() for path in paths]
    try:
        root = os.path.commonpath([path.parent for path in absolute])
    except ValueError:  # on several drives
        return [path.name for path in paths]
    return [path.relative_to(root).as_posix() for path in absolute]
