"""PASCAL-VOC from a VOC devkit, with a list of the images in each class.

The benchmark is 1,037 images of VOC 2010 (which are in VOC 2012 as well), each in a class. No
devkit says which: `cosegmentation.txt` does, beside JPEGImages/, beside the devkit's year or beside
VOCdevkit/, with `<class> <id>` a line, such as `aeroplane 2007_000032`, and comments from # on. An
id may be listed in several classes. A mask is the pixels of its class in SegmentationClass/, all
instances together; value 255, along outlines and on what was too hard to label, is void.

Sources:
  M. Everingham et al., "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010;
  http://host.robots.ox.ac.uk/pascal/VOC/
  The subset: A. Faktor, M. Irani, "Co-segmentation by Composition", ICCV 2013.
Verified: the devkit's folders and values, on VOC 2012. We found no list of ids: in the public pack
of the benchmark the images are renumbered, and nothing is void.
"""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cosseg_jax.data.builders.layouts.layout import (
    LabelledImage,
    Layout,
    check_none_missing,
    root_at_or_below,
    stored_file,
)
from cosseg_jax.data.builders.lists import LIST_NAME, find_list, read_list
from cosseg_jax.data.builders.voc import VOC_CLASSES, check_class_values
from cosseg_jax.data.masks import VOID_LABEL, decode_labels
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Ndarray

YEARS = ("VOC2010", "VOC2012")  # where both are there, the paper's own counts
DEVKIT_PLACES = ("", *YEARS, *(f"VOCdevkit/{year}" for year in YEARS))
DEVKIT_FOLDERS = ("JPEGImages", "SegmentationClass")


def find_listed_devkit(folder: Path) -> Path | None:
    """The devkit's folder of a year, or None where there is no devkit with a list."""
    root = root_at_or_below(folder, DEVKIT_PLACES, DEVKIT_FOLDERS)
    return root if root and _listing_of(root) else None


def listed_images(root: Path) -> list[LabelledImage]:
    """The listed images with their label files.

    Raises MissingFileError without a list or for a missing file, UserError for a bad list.
    """
    listing = _listing_of(root)
    if listing is None:
        raise MissingFileError(f"no list {root / LIST_NAME}: {VOC_LIST.description}")
    lines = sorted(read_list(listing, VOC_CLASSES))
    files = [_files_of(root, line.name) for line in lines]
    check_none_missing(
        [file for pair in files for file in pair if not file.is_file()],
        f"{listing} lists its id; correct the list, or unpack the whole devkit again",
    )
    return [
        LabelledImage(*line, *pair, partial(labels_of_class, line.category))
        for line, pair in zip(lines, files, strict=True)
    ]


VOC_LIST = Layout(
    f"""expected a VOC 2010 or 2012 devkit, with a list of `<class> <id>` a line:
  VOCdevkit/VOC2010/JPEGImages/<id>.jpg
  VOCdevkit/VOC2010/SegmentationClass/<id>.png
  VOCdevkit/VOC2010/{LIST_NAME}, or VOCdevkit/{LIST_NAME}
Get the devkit from http://host.robots.ox.ac.uk/pascal/VOC/""",
    find=find_listed_devkit,
    images=listed_images,
)


def labels_of_class(category: str, mask: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of one class: 1 on all its instances, VOID_LABEL on void, 0 elsewhere.

    Raises UserError when the label file has none of this class, or values of no class.
    """
    values = decode_labels(mask)
    classes = check_class_values(values, mask)
    labels = (values == VOC_CLASSES.index(category) + 1).astype(np.uint8)
    if not labels.any():
        held = [VOC_CLASSES[index] for index in classes]
        raise UserError(
            f"{mask} has no pixel of class {category!r}, but of {held}; correct {LIST_NAME}"
        )
    labels[values == VOID_LABEL] = VOID_LABEL
    return labels


def _files_of(root: Path, name: str) -> tuple[Path, Path]:
    image, label = f"{name}.jpg", f"{name}.png"
    return stored_file(root / "JPEGImages", image), stored_file(root / "SegmentationClass", label)


def _listing_of(root: Path) -> Path | None:
    """The list beside the folder of the images, beside the year's or beside VOCdevkit."""
    devkit = root.parent
    above = [devkit.parent] if devkit.name == "VOCdevkit" else []
    return find_list([root, devkit, *above])
