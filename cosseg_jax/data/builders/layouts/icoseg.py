"""iCoseg as Carnegie Mellon and Cornell distribute it, with the eight groups that the paper uses.

images/ and ground_truth/ hold a folder for each of 38 groups. Their names begin with a number,
except brown_bear; some numbers stand for several groups, so that the words decide. In the first
eight folders a JPEG copy of each mask lies beside the PNG; only the PNG counts. There is no void.

Other groups, or copies with other names, need a list `cosegmentation.txt` beside images/, with
`<class> <folder>` a line, such as `helicopter 025 Airshows-helicopter`.

Source:
  D. Batra, A. Kowdle, D. Parikh, J. Luo, T. Chen, "iCoseg: Interactive Co-segmentation with
  Intelligent Scribble Guidance", CVPR 2010; http://chenlab.ece.cornell.edu/projects/touch-coseg/
Verified on a public copy of all 643 images: the names of the groups, the JPEG copies, 1-bit masks
of the images' sizes. Assumed: panda1 is the pandas of the lower number. The numbers of images are
19, 5, 33, 15, 12, 24, 25 and 21, in the order of GROUP_FOLDERS.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from cosseg_jax.data.builders.layouts.layout import (
    LOSSLESS_SUFFIXES,
    LabelledImage,
    Layout,
    check_none_missing,
    class_folders,
    files_by_stem,
    root_at_or_below,
)
from cosseg_jax.data.builders.lists import LIST_NAME, ListLine, find_list, read_list
from cosseg_jax.data.file_kinds import IMAGE_SUFFIXES
from cosseg_jax.errors import MissingFileError, UserError

ICOSEG_TREES = ("images", "ground_truth")
ARCHIVE = "CMU_Cornell_iCoseg_dataset"
GROUP_FOLDERS = {  # the folder in the distribution, up to where the photographer's album begins
    "bear2": "002 Alaskan Brown Bear",
    "brownbear": "brown_bear",
    "cheetah": "028 Cheetah",
    "elephant": "021 Elephants",
    "helicopter": "025 Airshows-helicopter",
    "hotballoon": "041 Hot Balloons",
    "panda1": "023 Pandas-Tai-Land",
    "panda2": "029 Pandas-National Zoo",
}


def icoseg_images(root: Path) -> list[LabelledImage]:
    """The images of the listed groups, or without a list of the paper's eight.

    Raises MissingFileError for a group, image or mask that is missing, UserError for a bad list or
    a class with several folders.
    """
    images, masks = (class_folders(root / tree) for tree in ICOSEG_TREES)
    listing = find_list([root])
    groups = read_list(listing) if listing else _paper_groups(root, images)
    check_none_missing(
        [
            root / tree / group.name
            for group in groups
            for tree, folders in zip(ICOSEG_TREES, (images, masks), strict=True)
            if group.name not in folders
        ],
        f"{listing or 'the data set'} has such a group; unpack the whole archive again",
    )
    found = [
        LabelledImage(group.category, *files)
        for group in groups
        for files in _pairs_of(group.name, images[group.name], masks[group.name])
    ]
    return sorted(found, key=lambda image: (image.category, image.stem))


ICOSEG = Layout(
    f"""expected the CMU-Cornell iCoseg data set:
  {ARCHIVE}/dataset_public/images/<group>/<name>.jpg
  {ARCHIVE}/dataset_public/ground_truth/<group>/<name>.png
Get it from http://chenlab.ece.cornell.edu/projects/touch-coseg/""",
    find=partial(
        root_at_or_below,
        places=("", "dataset_public", f"{ARCHIVE}/dataset_public", ARCHIVE, "iCoseg", "icoseg"),
        parts=ICOSEG_TREES,
    ),
    images=icoseg_images,
)


def class_of(folder: str) -> str | None:
    """The paper's class for which a group's folder stands, or None.

    Case, punctuation and the number do not count. The folder may be called as in the distribution,
    by only the beginning of that name, or like the class itself.
    """
    for category, original in GROUP_FOLDERS.items():
        if "".join(_words(folder)) in (category, "".join(_words(category)), f"{category}s"):
            return category
        if _words(folder)[: len(_words(original))] == _words(original):
            return category
    return None


def _paper_groups(root: Path, folders: Iterable[str]) -> list[ListLine]:
    found: dict[str, str] = {}
    for folder in folders:
        category = class_of(folder)
        if category in found:
            raise UserError(
                f"{root / 'images'}: {found[category]!r} and {folder!r} are both class "
                f"{category!r}; keep one, or list the groups in {root / LIST_NAME}"
            )
        if category is not None:
            found[category] = folder
    missing = [f"{c} ({name!r} ...)" for c, name in GROUP_FOLDERS.items() if c not in found]
    check_none_missing(
        missing,
        f"{root / 'images'} needs these groups: {', '.join(missing)}; it has {sorted(folders)}. "
        f"Unpack the whole archive again, or list the groups in {root / LIST_NAME}",
    )
    return [ListLine(*pair) for pair in found.items()]


def _pairs_of(group: str, image_folder: Path, mask_folder: Path) -> list[tuple[str, Path, Path]]:
    """The stem, image and mask of each image in a group."""
    images = files_by_stem(image_folder, IMAGE_SUFFIXES)
    masks = files_by_stem(mask_folder, LOSSLESS_SUFFIXES)
    lone = [images.get(stem) or masks[stem] for stem in sorted(images.keys() ^ masks.keys())]
    if lone or not images:
        fault = f"{lone[0]} is the first without its counterpart" if lone else "some are needed"
        raise MissingFileError(
            f"group {group!r} in {image_folder.parent} has {len(images)} images and {len(masks)} "
            f"masks; {fault}"
        )
    return [(stem, images[stem], masks[stem]) for stem in images]


def _words(name: str) -> list[str]:
    """The words of a folder's name, without case and without the number it may begin with."""
    words = "".join(c if c.isalnum() else " " for c in name.casefold()).split()
    return words[1:] if words and words[0].isdecimal() else words
