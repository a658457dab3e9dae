"""A user's own images: a folder for each class, with or without masks.

The images lie in class folders, either directly in the root or in a tree of their own, image/ or
images/. Masks lie in a like tree, groundtruth/ or masks/, under the names of their images; without
such a tree no image has a mask. Images that lie in no class folder are one class, called after the
root.
"""

from pathlib import Path

from cosseg_jax.data.builders.layouts.layout import (
    LabelledImage,
    Layout,
    class_files,
    class_folders,
    composed,
    files_by_stem,
)
from cosseg_jax.data.file_kinds import IMAGE_SUFFIXES
from cosseg_jax.errors import UserError

IMAGE_TREES = ("image", "images")
MASK_TREES = ("ground_truth", "groundtruth", "mask", "masks")
MOST_FILES_NAMED = 3  # files in one message

Key = tuple[str, str]  # class and stem


def find_folder(folder: Path) -> Path | None:
    """The folder itself if images lie where they should, else None."""
    trees = _trees(folder, IMAGE_TREES) or [folder]
    places = [place for tree in trees for place in (tree, *class_folders(tree).values())]
    return folder if any(_images_in(place) for place in places) else None


def folder_images(root: Path) -> list[LabelledImage]:
    """All images by class and stem, with their masks if there is a tree of masks.

    Raises UserError for two trees of one kind, for images both in class folders and beside them,
    and for an image without a mask or a mask without an image where there are masks.
    """
    image_tree, mask_tree = _tree_of(root, IMAGE_TREES) or root, _tree_of(root, MASK_TREES)
    images = _files_in(image_tree, root, mask_tree)
    if mask_tree is None:
        return [LabelledImage(*key, images[key], None) for key in sorted(images)]
    masks = _files_in(mask_tree, root, mask_tree)
    _check_pairs(images, masks, image_tree, mask_tree)
    return [LabelledImage(*key, images[key], masks[key]) for key in sorted(images)]


FOLDER = Layout(
    """expected a folder of images by class, in one of these ways:
  <class>/<name>.<suffix>
  image/<class>/<name>.<suffix>, or images/
with their masks, if there are any, in
  groundtruth/<class>/<name>.<suffix>, or masks/
A single class needs no class folder: <name>.jpg, or image/<name>.jpg and masks/<name>.png""",
    find=find_folder,
    images=folder_images,
)


def _trees(root: Path, names: tuple[str, ...]) -> list[Path]:
    """The folders in the root that have one of the names, in whatever case."""
    return [path for name, path in class_folders(root).items() if name.lower() in names]


def _tree_of(root: Path, names: tuple[str, ...]) -> Path | None:
    """The one tree in the root that has one of the names; see `_is_class` for mask/."""
    found = [tree for tree in _trees(root, names) if not _is_class(tree, root)]
    if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1]} are of one kind; keep one of them")
    return found[0] if found else None


def _is_class(tree: Path, root: Path) -> bool:
    """Whether a folder called mask is a class of images, such as carnival masks.

    It is one where its images lie directly in it, but those of the root in class folders. Raises
    UserError where these may as well be the masks of the others, by their names.
    """
    if tree.name.lower() != "mask" or _trees(root, IMAGE_TREES) or _images_in(root):
        return False
    stems = files_by_stem(tree, IMAGE_SUFFIXES).keys()
    others = [place for place in class_folders(root).values() if place != tree]
    taken = {stem for place in others for stem in files_by_stem(place, IMAGE_SUFFIXES)}
    if stems and stems <= taken and len(_trees(root, MASK_TREES)) == 1:
        raise UserError(
            f"{tree} may be a class, or hold the masks of the other classes, whose images have the "
            f"same names; move all class folders into {root / 'image'}, or the masks into class "
            f"folders in {root / 'masks'}"
        )
    return bool(stems)


def _files_in(tree: Path, root: Path, mask_tree: Path | None) -> dict[Key, Path]:
    """The files of a tree by class and stem."""
    classes = class_folders(tree)
    if tree == root:
        classes = {name: path for name, path in classes.items() if path != mask_tree}
    beside = _images_in(tree)
    if not classes and not beside:
        raise UserError(f"{tree} is empty: {FOLDER.description}")
    if classes and beside:
        raise UserError(
            f"{beside[0]} lies beside the class folders of {tree}; move it into one of them, or "
            "remove it"
        )
    for folder in classes.values():
        _check_not_nested(folder)
    places = classes or {composed(root.resolve().name): tree}
    return {
        (category, stem): file
        for category, folder in places.items()
        for stem, file in _files_of_class(folder).items()
    }


def _check_not_nested(folder: Path) -> None:
    """Raises UserError where a class folder has images in folders of its own."""
    for deeper in class_folders(folder).values():
        if _images_in(deeper):
            raise UserError(
                f"{deeper} is a folder of images in the class folder {folder}; move its images up, "
                "or the folder away"
            )


def _files_of_class(folder: Path) -> dict[str, Path]:
    """A class folder's files by stem. Raises UserError for one that is not named as an image."""
    files = class_files(folder)
    others = [file for file in files.values() if file.suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        raise UserError(
            f"{len(others)} files in {folder} are not named as images: {_first(others)}; remove "
            f"them, or convert them to one of {', '.join(IMAGE_SUFFIXES)}"
        )
    return files


def _images_in(folder: Path) -> list[Path]:
    """The files in a folder that are named as images."""
    return list(files_by_stem(folder, IMAGE_SUFFIXES).values())


def _check_pairs(
    images: dict[Key, Path], masks: dict[Key, Path], image_tree: Path, mask_tree: Path
) -> None:
    faults = (
        ("images have no mask", [images[key] for key in sorted(images.keys() - masks)]),
        ("masks have no image", [masks[key] for key in sorted(masks.keys() - images)]),
    )
    found = [
        f"{len(lone)} {fault} of the same class and name: {_first(lone)}"
        for fault, lone in faults
        if lone
    ]
    if found:
        raise UserError(
            f"{image_tree} and {mask_tree} do not fit: {'; '.join(found)}. Add what is missing or "
            f"remove the rest; without {mask_tree.name}/ images need no masks"
        )


def _first(files: list[Path]) -> str:
    names = ", ".join(str(file) for file in files[:MOST_FILES_NAMED])
    return names if len(files) <= MOST_FILES_NAMED else f"{names}, ..."
