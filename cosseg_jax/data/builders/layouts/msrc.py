"""MSRC as Microsoft distributes it (ObjCategImageDatabase v2), with the paper's seven classes.

Photographs and colour-coded label files go together by name, `5_12_s.bmp` and `5_12_s_GT.bmp`.
Black is void; every other class's colour is background to the class in question.

The benchmark takes ten photographs a class. Which ones, the database does not say: a list
`cosegmentation.txt` beside Images/ does, with `<class> <name>` a line, such as `cow 5_12_s`.
Without it a photograph belongs to every class whose colour covers at least MINIMUM_SHARE of it. The
numbers in the names sort the photographs by main subject, but no document says how, so they do not
count here.

Sources:
  J. Winn, A. Criminisi, T. Minka, "Object Categorization by Learned Universal Visual Dictionary",
  ICCV 2005; https://www.microsoft.com/en-us/research/project/image-understanding/
  The subset: S. Vicente, C. Rother, V. Kolmogorov, "Object Cosegmentation", CVPR 2011.
Verified: the table of colours, in two public readers of the database that agree on it, one of
which accepts no other colour in any file; the folders and the names of the files, in several.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from cosseg_jax.data.builders.layouts.entry import VOID, Entry, Layout
from cosseg_jax.data.builders.layouts.originals import (
    LIST_NAME,
    check_there,
    list_file,
    pictures_by_stem,
    read_list,
    root_at_or_below,
)
from cosseg_jax.data.images import decode_image
from cosseg_jax.types import Ndarray

PARTS = ("Images", "GroundTruth")
PLACES = ("", "MSRC_ObjCategImageDatabase_v2", "msrc_objcategimagedatabase_v2", "MSRC")
MINIMUM_SHARE = 0.01  # of a photograph's pixels; below it, an object is a detail
COLOURS = {  # RGB
    "void": (0, 0, 0),
    "building": (128, 0, 0),
    "grass": (0, 128, 0),
    "tree": (128, 128, 0),
    "cow": (0, 0, 128),
    "horse": (128, 0, 128),
    "sheep": (0, 128, 128),
    "sky": (128, 128, 128),
    "mountain": (64, 0, 0),
    "plane": (192, 0, 0),
    "water": (64, 128, 0),
    "face": (192, 128, 0),
    "car": (64, 0, 128),
    "bicycle": (192, 0, 128),
    "flower": (64, 128, 128),
    "sign": (192, 128, 128),
    "bird": (0, 64, 0),
    "book": (128, 64, 0),
    "chair": (0, 192, 0),
    "road": (128, 64, 128),
    "cat": (0, 192, 128),
    "dog": (128, 192, 128),
    "body": (64, 64, 0),
    "boat": (192, 64, 0),
}
CATEGORIES = ("bird", "car", "cat", "cow", "dog", "plane", "sheep")
DESCRIPTION = f"""expected the MSRC object category image database v2:
  MSRC_ObjCategImageDatabase_v2/Images/<n>_<m>_s.bmp
  MSRC_ObjCategImageDatabase_v2/GroundTruth/<n>_<m>_s_GT.bmp
and, for the benchmark's ten photographs a class, a list of them, `<class> <n>_<m>_s` a line:
  MSRC_ObjCategImageDatabase_v2/{LIST_NAME}
Get it from https://www.microsoft.com/en-us/research/project/image-understanding/"""


def find(folder: Path) -> Path | None:
    """The folder that holds Images/ and GroundTruth/, or None."""
    return root_at_or_below(folder, PLACES, PARTS)


def entries(root: Path) -> list[Entry]:
    """The listed photographs, or without a list all that show a class, each with its label file.

    Raises FileNotFoundError for a photograph or label file that is missing, ValueError for a bad
    list or, without a list, for a label file with colours of no class.
    """
    images, masks = (pictures_by_stem(root / part) for part in PARTS)
    listing = list_file([root])
    if listing is not None:
        pairs = read_list(listing, CATEGORIES)
        stems, why = [line.name for line in pairs], f"{listing} names it; correct the list, or"
    else:
        pairs, stems, why = [], sorted(images), "each photograph has a label file;"
    lone = [root / "Images" / f"{stem}.bmp" for stem in stems if stem not in images]
    lone += [root / "GroundTruth" / f"{s}_GT.bmp" for s in stems if f"{s}_GT" not in masks]
    check_there(lone, f"{why} unpack the whole database again")
    pairs = pairs or [(c, s) for s in stems for c in categories_in(masks[f"{s}_GT"])]
    return [
        Entry(category, stem, images[stem], masks[f"{stem}_GT"], partial(class_labels, category))
        for category, stem in sorted(pairs)
    ]


LAYOUT = Layout(DESCRIPTION, find, entries)


def categories_in(mask: Path) -> list[str]:
    """Those of the seven classes that cover enough of a label file's pixels."""
    colours = _colours(mask)
    return [c for c in CATEGORIES if (colours == _packed(COLOURS[c])).mean() >= MINIMUM_SHARE]


def class_labels(category: str, mask: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of one class: 1 in its colour, VOID in black, 0 in all others.

    Raises ValueError when the label file has a colour of no class, or none of this class.
    """
    colours = _colours(mask)
    labels = (colours == _packed(COLOURS[category])).astype(np.uint8)
    if not labels.any():
        raise ValueError(
            f"{mask} has no pixel of class {category!r}, whose colour is {COLOURS[category]}; take "
            f"its photograph out of the class in {LIST_NAME}"
        )
    labels[colours == _packed(COLOURS["void"])] = VOID
    return labels


def _colours(mask: Path) -> Int[Ndarray, "H W"]:
    """A label file's colours, each as one number. Raises ValueError for one of no class."""
    red, green, blue = np.moveaxis(decode_image(mask).astype(np.int32), 2, 0)  # [3, H, W]
    colours = _packed((red, green, blue))
    known = [_packed(colour) for colour in COLOURS.values()]
    strange = np.setdiff1d(colours, known)
    if strange.size:
        first = tuple(int(strange[0]) >> shift & 255 for shift in (16, 8, 0))
        raise ValueError(
            f"{mask} has {strange.size} colours of no class, one being {first} (RGB); expected the "
            f"database's own file, with none but its {len(COLOURS)} colours"
        )
    return colours


def _packed(colour: tuple[Any, Any, Any]) -> Any:
    """A colour as one number, or an array of each channel as an array of such."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue
