"""The benchmarks as the paper's authors distribute them, each processed into one pack of folders.

Photographs and masks lie in two like trees of class folders and go together by name; suffixes do
not count, as they differ between packs (masks are .png, .bmp or .jpg). Nothing is void.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cosseg_jax.data.builders.layouts.entry import (
    Entry,
    Layout,
    binary_labels,
    files_by_stem,
    folders_of,
)

PACKS = ("iCoseg8", "Internet_Datasets300", "MSRC7", "PASCAL_VOC")  # all of the authors' folders
PARTS = ("image", "groundtruth")
DESCRIPTION = """expected a benchmark pack, {folder} being the given folder or in it:
  {folder}/image/<class>/<name>.<any suffix>
  {folder}/groundtruth/<class>/<name>.<any suffix>
The authors' packs are linked from https://github.com/cj4L/SSNM-Coseg"""


def layout(folder_name: str, classes: Sequence[str] = ()) -> Layout:
    """The layout of one pack.

    Args:
      folder_name: what the pack's folder is called; a folder of any other name may be given too,
        if it is not that of another pack.
      classes: the classes as the data set's tables call them. A class folder that differs from
        one of them only in case, in punctuation or in a number 100 at its end stands for it.
    """
    return Layout(
        DESCRIPTION.format(folder=folder_name),
        partial(_find, folder_name),
        partial(_entries, folder_name, tuple(classes)),
    )


def class_called(folder: str, classes: Sequence[str]) -> str:
    """The one of the classes for which a folder's name stands, else the name itself."""
    for name in (_plain(folder), _plain(folder).removesuffix("100")):
        for known in classes:
            if name == _plain(known):
                return known
    return folder


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _find(folder_name: str, folder: Path) -> Path | None:
    candidates = [folder / folder_name]
    if folder.name not in PACKS or folder.name == folder_name:
        candidates.append(folder)
    for pack in candidates:
        if (pack / "image").is_dir() and (pack / "groundtruth").is_dir():
            return pack
    return None


def _entries(folder_name: str, classes: Sequence[str], pack: Path) -> list[Entry]:
    image, groundtruth = ([path.name for path in folders_of(pack / part)] for part in PARTS)
    if image != groundtruth:
        lone = sorted(set(image) ^ set(groundtruth))
        raise ValueError(f"{pack}: class folders {lone} are in only one of image/, groundtruth/")
    if not image:
        description = DESCRIPTION.format(folder=folder_name)
        raise ValueError(f"{pack / 'image'} has no class folders: {description}")
    entries = [entry for name in image for entry in _class_entries(pack, name, classes)]
    return sorted(entries, key=lambda entry: (entry.category, entry.stem))


def _class_entries(pack: Path, folder: str, classes: Sequence[str]) -> list[Entry]:
    images, masks = (files_by_stem(pack / part / folder) for part in PARTS)
    lone = [images.get(stem) or masks[stem] for stem in sorted(images.keys() ^ masks.keys())]
    if lone:
        raise ValueError(
            f"{len(lone)} files have no counterpart of the same name in image/{folder} or "
            f"groundtruth/{folder}, the first being {lone[0]}; add it, or remove the file"
        )
    category = class_called(folder, classes)
    return [Entry(category, stem, images[stem], masks[stem], binary_labels) for stem in images]
