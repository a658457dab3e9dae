"""Anyone's own photographs: a folder for each class, with or without masks.

The photographs lie in class folders, either directly in the root or in a tree of their own, image/
or images/. Masks lie in a like tree, groundtruth/ or masks/, under the names of their photographs;
without such a tree no photograph has a mask. Photographs that lie in no class folder are one class,
called after the root.
"""

from pathlib import Path

from cosseg_jax.data.builders.layouts.entry import (
    Entry,
    Layout,
    binary_labels,
    files_by_stem,
    folders_of,
    is_shown,
)

IMAGE_TREES = ("image", "images")
MASK_TREES = ("ground_truth", "groundtruth", "mask", "masks")
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
DESCRIPTION = """expected a folder of photographs by class, in one of these ways:
  <class>/<name>.<suffix>
  image/<class>/<name>.<suffix>, or images/
with their masks, if there are any, in
  groundtruth/<class>/<name>.<suffix>, or masks/
A single class needs no class folder: <name>.jpg, or image/<name>.jpg and masks/<name>.png"""


def find(folder: Path) -> Path | None:
    """The folder itself if photographs lie where they should, else None."""
    trees = [folder / name for name in IMAGE_TREES if (folder / name).is_dir()] or [folder]
    places = [place for tree in trees for place in (tree, *folders_of(tree))]
    return folder if any(_pictures(place) for place in places) else None


def entries(root: Path) -> list[Entry]:
    """All photographs by class and stem, with their masks if there is a tree of masks.

    Raises ValueError for two trees of one kind, for photographs both in class folders and beside
    them, and for a photograph without a mask or a mask without a photograph where there are masks.
    """
    image_tree, mask_tree = _tree(root, IMAGE_TREES) or root, _tree(root, MASK_TREES)
    images = _files(image_tree, root)
    if mask_tree is None:
        return [Entry(*key, images[key], None, binary_labels) for key in sorted(images)]
    masks = _files(mask_tree, root)
    _check_pairs(images, masks, image_tree, mask_tree)
    return [Entry(*key, images[key], masks[key], binary_labels) for key in sorted(images)]


LAYOUT = Layout(DESCRIPTION, find, entries)


def _tree(root: Path, names: tuple[str, ...]) -> Path | None:
    """The one folder in the root that has one of the names."""
    found = [folder for folder in folders_of(root) if folder.name in names]
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1]} are of one kind; keep one of them")
    return found[0] if found else None


def _files(tree: Path, root: Path) -> dict[tuple[str, str], Path]:
    """The files of a tree by class and stem."""
    classes = [folder for folder in folders_of(tree) if tree != root or not _is_tree(folder)]
    beside = _pictures(tree)
    if not classes and not beside:
        raise ValueError(f"{tree} is empty: {DESCRIPTION}")
    if classes and beside:
        raise ValueError(
            f"{beside[0]} lies beside the class folders of {tree}; move it into one of them, or "
            "remove it"
        )
    places = {folder.name: folder for folder in classes} or {root.resolve().name: tree}
    return {
        (category, stem): _checked_suffix(file)
        for category, folder in places.items()
        for stem, file in files_by_stem(folder).items()
    }


def _checked_suffix(file: Path) -> Path:
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{file} lies among pictures without being called as one; remove it, or convert it to "
            f"one of {', '.join(SUFFIXES)}"
        )
    return file


def _is_tree(folder: Path) -> bool:
    return folder.name in IMAGE_TREES + MASK_TREES


def _pictures(folder: Path) -> list[Path]:
    """The files in a folder that are called as pictures are."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and is_shown(path))
    return [file for file in files if file.suffix.lower() in SUFFIXES]


def _check_pairs(
    images: dict[tuple[str, str], Path],
    masks: dict[tuple[str, str], Path],
    image_tree: Path,
    mask_tree: Path,
) -> None:
    faults = (
        ("photographs have no mask", [images[key] for key in sorted(images.keys() - masks)]),
        ("masks have no photograph", [masks[key] for key in sorted(masks.keys() - images)]),
    )
    found = [
        f"{len(lone)} {fault} of the same class and name: {_first(lone)}"
        for fault, lone in faults
        if lone
    ]
    if found:
        raise ValueError(
            f"{image_tree} and {mask_tree} do not fit: {'; '.join(found)}. Add what is missing or "
            f"remove the rest; without {mask_tree.name}/ photographs need no masks"
        )


def _first(files: list[Path], shown: int = 3) -> str:
    names = ", ".join(str(file) for file in files[:shown])
    return names if len(files) <= shown else f"{names}, ..."
