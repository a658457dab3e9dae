"""PASCAL-VOC from a VOC devkit, with a list of the photographs in each class.

The benchmark is 1,037 entries, photographs of VOC 2010 (which are in VOC 2012 as well) in a class.
Which ones, no devkit says: `cosegmentation.txt` does, beside JPEGImages/, beside the devkit's year
or beside VOCdevkit/, with `<class> <id>` a line, such as `aeroplane 2007_000032`, comments from #
on. An id may be listed in several classes. A mask is the pixels of its class in SegmentationClass/,
all instances together; value 255, along outlines and on what was too hard to label, is void.

Sources:
  M. Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010;
  http://host.robots.ox.ac.uk/pascal/VOC/
  The subset: A. Faktor, M. Irani, "Co-segmentation by Composition", ICCV 2013.
Verified: the devkit's folders and values, on VOC 2012. No list of ids was found: in the public pack
of the benchmark the photographs are renumbered, and nothing is void.
"""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cosseg_jax.data.builders.layouts.entry import VOID, Entry, Layout
from cosseg_jax.data.builders.layouts.originals import (
    LIST_NAME,
    check_there,
    list_file,
    read_list,
    root_at_or_below,
)
from cosseg_jax.data.builders.voc import CATEGORIES
from cosseg_jax.data.images import decode_labels
from cosseg_jax.types import Ndarray

PARTS = ("JPEGImages", "SegmentationClass")
YEARS = ("VOC2010", "VOC2012")  # where both are there, the paper's own counts
PLACES = ("", *YEARS, *(f"VOCdevkit/{year}" for year in YEARS))
DESCRIPTION = f"""expected a VOC 2010 or 2012 devkit, with a list of `<class> <id>` a line:
  VOCdevkit/VOC2010/JPEGImages/<id>.jpg
  VOCdevkit/VOC2010/SegmentationClass/<id>.png
  VOCdevkit/VOC2010/{LIST_NAME}, or VOCdevkit/{LIST_NAME}
Get the devkit from http://host.robots.ox.ac.uk/pascal/VOC/"""


def find(folder: Path) -> Path | None:
    """The devkit's folder of a year, or None where there is no devkit with a list."""
    root = root_at_or_below(folder, PLACES, PARTS)
    return root if root and _listing_of(root) else None


def entries(root: Path) -> list[Entry]:
    """The listed photographs with their label files.

    Raises FileNotFoundError without a list or for a missing file, ValueError for a bad list.
    """
    listing = _listing_of(root)
    if listing is None:
        raise FileNotFoundError(f"no list {root / LIST_NAME}: {DESCRIPTION}")
    lines = sorted(read_list(listing, CATEGORIES))
    check_there(
        [file for line in lines for file in _files(root, line.name) if not file.is_file()],
        f"{listing} lists its id; correct the list, or unpack the whole devkit again",
    )
    return [
        Entry(category, name, *_files(root, name), partial(class_labels, category))
        for category, name in lines
    ]


LAYOUT = Layout(DESCRIPTION, find, entries)


def class_labels(category: str, mask: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of one class: 1 on all its instances, VOID where the devkit has 255, else 0.

    Raises ValueError when the label file has none of this class, or values of no class.
    """
    values = decode_labels(mask)
    found = np.unique(values)
    labels = (values == CATEGORIES.index(category) + 1).astype(np.uint8)
    if not labels.any():
        held = [CATEGORIES[value - 1] for value in found if 0 < value <= len(CATEGORIES)]
        raise ValueError(
            f"{mask} has no pixel of class {category!r}, but of {held}; correct {LIST_NAME}"
        )
    strange = found[(found > len(CATEGORIES)) & (found != VOID)]
    if strange.size:
        raise ValueError(
            f"{mask} has values {strange.tolist()}; expected 0 to {len(CATEGORIES)} and {VOID}"
        )
    labels[values == VOID] = VOID
    return labels


def _files(root: Path, name: str) -> tuple[Path, Path]:
    return root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png"


def _listing_of(root: Path) -> Path | None:
    """The list beside the photographs' folder, beside the year's or beside VOCdevkit."""
    devkit = root.parent
    above = [devkit.parent] if devkit.name == "VOCdevkit" else []
    return list_file([root, devkit, *above])
