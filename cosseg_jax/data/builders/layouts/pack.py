"""The benchmarks as the paper's authors distribute them: each is one processed pack of folders.

Images and masks lie in two like trees of class folders and belong together by name; suffixes do not
count, as they differ between packs (masks are .png, .bmp or .jpg). The packs have no void.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cosseg_jax.data.builders.layouts.layout import (
    LabelledImage,
    Layout,
    class_files,
    class_folders,
)
from cosseg_jax.errors import UserError

PACKS = ("iCoseg8", "Internet_Datasets300", "MSRC7", "PASCAL_VOC")  # all of the authors' folders
DESCRIPTION_OF_PACK = """expected a benchmark pack, {folder} being the given folder or in it:
  {folder}/image/<class>/<name>.<any suffix>
  {folder}/groundtruth/<class>/<name>.<any suffix>
The authors' packs are linked from https://github.com/cj4L/SSNM-Coseg"""


def pack_layout(folder_name: str, classes: Sequence[str] = ()) -> Layout:
    """The layout of one pack.

    Args:
      folder_name: what the pack's folder is called; a folder of any other name may be given too,
        if it is not that of another pack.
      classes: the classes as the data set's tables call them. A class folder that differs from
        one of them only in case, in punctuation or in a number 100 at its end stands for it.
    """
    description = DESCRIPTION_OF_PACK.format(folder=folder_name)
    return Layout(
        description,
        find=partial(_find_pack, folder_name),
        images=partial(_pack_images, description, tuple(classes)),
    )


def class_called(folder: str, classes: Sequence[str]) -> str:
    """The one of the classes for which a folder's name stands, else the name itself."""
    for name in (_letters(folder), _letters(folder).removesuffix("100")):
        for known in classes:
            if name == _letters(known):
                return known
    return folder


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _find_pack(folder_name: str, folder: Path) -> Path | None:
    candidates = [folder / folder_name]
    if folder.name not in PACKS or folder.name == folder_name:
        candidates.append(folder)
    for pack in candidates:
        if (pack / "image").is_dir() and (pack / "groundtruth").is_dir():
            return pack
    return None


def _pack_images(description: str, classes: Sequence[str], pack: Path) -> list[LabelledImage]:
    return paired_images(pack / "image", pack / "groundtruth", description, classes)


def paired_images(
    image_tree: Path, mask_tree: Path, description: str, classes: Sequence[str] = ()
) -> list[LabelledImage]:
    """The images of two like trees of class folders, sorted by class and stem.

    Raises UserError for a class or a file that is in only one of them, or an empty tree.
    """
    images, masks = class_folders(image_tree), class_folders(mask_tree)
    if lone := sorted(images.keys() ^ masks.keys()):
        raise UserError(
            f"{image_tree.parent}: class folders {lone} are in only one of {image_tree.name}/, "
            f"{mask_tree.name}/"
        )
    if not images:
        raise UserError(f"{image_tree} has no class folders: {description}")
    found = [
        LabelledImage(class_called(folder, classes), *files)
        for folder in images
        for files in _pairs_in(images[folder], masks[folder])
    ]
    return sorted(found, key=lambda image: (image.category, image.stem))


def _pairs_in(image_folder: Path, mask_folder: Path) -> list[tuple[str, Path, Path]]:
    """The stem, image and mask of each image in a class."""
    images, masks = class_files(image_folder), class_files(mask_folder)
    if lone := [images.get(stem) or masks[stem] for stem in sorted(images.keys() ^ masks.keys())]:
        raise UserError(
            f"{len(lone)} files have no counterpart of the same name in {image_folder} or "
            f"{mask_folder}, the first being {lone[0]}; add it, or remove the file"
        )
    return [(stem, images[stem], masks[stem]) for stem in images]
