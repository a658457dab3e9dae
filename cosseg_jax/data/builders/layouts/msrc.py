"""MSRC as Microsoft distributes it (ObjCategImageDatabase v2), with the paper's seven classes.

Images and colour-coded label files belong together by name, `5_12_s.bmp` and `5_12_s_GT.bmp`. Black
is void; the colour of every other class is background to the class in question.

The benchmark takes ten images a class. The database does not say which: a list `cosegmentation.txt`
beside Images/ does, with `<class> <name>` a line, such as `cow 5_12_s`. Without it an image belongs
to every class whose colour covers at least MINIMUM_SHARE of it. The numbers in the names sort the
images by main subject, but no document says how, so they do not count here.

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

from cosseg_jax.data.builders.layouts.layout import (
    LabelledImage,
    Layout,
    check_none_missing,
    files_by_stem,
    root_at_or_below,
)
from cosseg_jax.data.builders.lists import LIST_NAME, find_list, read_list
from cosseg_jax.data.file_kinds import IMAGE_SUFFIXES
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.masks import VOID_LABEL
from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

MINIMUM_SHARE = 0.01  # of an image's pixels; below it, an object is a detail
CLASS_COLOURS = {  # RGB
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
MSRC_CLASSES = ("bird", "car", "cat", "cow", "dog", "plane", "sheep")
MSRC_FOLDERS = ("Images", "GroundTruth")
DATABASE = "MSRC_ObjCategImageDatabase_v2"


def msrc_images(root: Path) -> list[LabelledImage]:
    """The listed images, or without a list all that show a class, each with its label file.

    Raises MissingFileError for an image or label file that is missing, UserError for a bad list or,
    without a list, for a label file with colours of no class.
    """
    images, masks = (files_by_stem(root / folder, IMAGE_SUFFIXES) for folder in MSRC_FOLDERS)
    listing = find_list([root])
    listed = read_list(listing, MSRC_CLASSES) if listing else []
    stems = [line.name for line in listed] if listing else list(images)
    missing = [root / "Images" / f"{stem}.bmp" for stem in stems if stem not in images]
    missing += [root / "GroundTruth" / f"{s}_GT.bmp" for s in stems if f"{s}_GT" not in masks]
    why = f"{listing} names it; correct the list" if listing else "each image has a label file"
    check_none_missing(missing, f"{why}, or unpack the whole database again")
    members = listed or [(c, s) for s in stems for c in categories_in(masks[f"{s}_GT"])]
    return [
        LabelledImage(c, s, images[s], masks[f"{s}_GT"], partial(labels_of_colour, c))
        for c, s in sorted(members)
    ]


MSRC = Layout(
    f"""expected the MSRC object category image database v2:
  {DATABASE}/Images/<n>_<m>_s.bmp
  {DATABASE}/GroundTruth/<n>_<m>_s_GT.bmp
and, for the benchmark's ten images a class, a list of them, `<class> <n>_<m>_s` a line:
  {DATABASE}/{LIST_NAME}
Get it from https://www.microsoft.com/en-us/research/project/image-understanding/""",
    find=partial(
        root_at_or_below, places=("", DATABASE, DATABASE.lower(), "MSRC"), parts=MSRC_FOLDERS
    ),
    images=msrc_images,
)


def categories_in(mask: Path) -> list[str]:
    """Those of the seven classes that cover enough of a label file's pixels."""
    colours = _colours_in(mask)
    return [
        category
        for category in MSRC_CLASSES
        if (colours == _packed(CLASS_COLOURS[category])).mean() >= MINIMUM_SHARE
    ]


def labels_of_colour(category: str, mask: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of one class: 1 in its colour, VOID_LABEL in black, 0 in all others.

    Raises UserError when the label file has a colour of no class, or none of this class.
    """
    colours = _colours_in(mask)
    labels = (colours == _packed(CLASS_COLOURS[category])).astype(np.uint8)
    if not labels.any():
        raise UserError(
            f"{mask} has no pixel of class {category!r}, whose colour is "
            f"{CLASS_COLOURS[category]}; take its image out of the class in {LIST_NAME}"
        )
    labels[colours == _packed(CLASS_COLOURS["void"])] = VOID_LABEL
    return labels


def _colours_in(mask: Path) -> Int[Ndarray, "H W"]:
    """A label file's colours, each as one number. Raises UserError for one of no class."""
    red, green, blue = np.moveaxis(decode_image(mask).astype(np.int32), 2, 0)  # [3, H, W]
    colours = _packed((red, green, blue))
    known = [_packed(colour) for colour in CLASS_COLOURS.values()]
    strange = np.setdiff1d(colours, known)
    if strange.size:
        first = tuple(int(strange[0]) >> shift & 255 for shift in (16, 8, 0))
        raise UserError(
            f"{mask} has {strange.size} colours of no class, one being {first} (RGB); expected the "
            f"database's own file, which has only its {len(CLASS_COLOURS)} colours"
        )
    return colours


def _packed(colour: tuple[Any, Any, Any]) -> Any:
    """A colour as one number; from an array of each channel, an array of such numbers."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue
