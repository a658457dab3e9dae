"""What a distribution on disk comes down to, whatever its folders look like: a list of entries.

Each module beside this one knows one way in which a data set is distributed, and gives a `Layout`:
how to find it and how to list its entries. None of them decodes a photograph.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from cosseg_jax.data.images import decode_mask
from cosseg_jax.types import Ndarray

VOID = 255  # in a label map: known to be unknown
NOT_PICTURES = ("Thumbs.db", "desktop.ini")


class Entry(NamedTuple):
    """A photograph in a class, with its mask there.

    category: the class, as the data set's tables call it.
    stem: names the photograph within its class.
    image: the photograph's file.
    mask: the mask's file, or None where the data set has none for it.
    decode: reads the mask's file to a label map: 0, 1 on the object, VOID where unknown.
    """

    category: str
    stem: str
    image: Path
    mask: Path | None
    decode: Callable[[Path], UInt8[Ndarray, "H W"]]


class Layout(NamedTuple):
    """One way in which a data set is distributed.

    description: its tree of folders, for messages, one line or more.
    find: its root at or below a folder, or None where there is none.
    entries: all entries below a root, sorted by class and stem; raises ValueError or
        FileNotFoundError, naming the file, where something is missing or ambiguous.
    """

    description: str
    find: Callable[[Path], Path | None]
    entries: Callable[[Path], list[Entry]]


def binary_labels(mask: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of a mask of any mode, without void (see `decoding.decode_mask`)."""
    return decode_mask(mask).astype(np.uint8)


def folders_of(folder: Path) -> list[Path]:
    """The folders in a folder that are shown, by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_shown(path))


def files_by_stem(folder: Path) -> dict[str, Path]:
    """The files in a folder that are shown, by name without suffix.

    Raises ValueError when two have the same name but for the suffix, or when there is none.
    """
    files: dict[str, Path] = {}
    for file in sorted(path for path in folder.iterdir() if path.is_file() and is_shown(path)):
        if file.stem in files:
            raise ValueError(f"{files[file.stem]} and {file} have the same name; keep one of them")
        files[file.stem] = file
    if not files:
        raise ValueError(f"class folder {folder} is empty; add its files, or remove the folder")
    return files


def is_shown(path: Path) -> bool:
    """False for hidden files and the leftovers of file managers."""
    return not path.name.startswith(".") and path.name not in NOT_PICTURES
