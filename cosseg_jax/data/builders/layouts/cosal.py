"""The benchmarks of co-salient object detection: CoCA, CoSal2015 and CoSOD3k.

Each has a tree of images and one of masks, both by group. The authors' archives hold the two trees
in the data set's folder, under names that differ. Collections of all three, as this field's code
expects them, hold the data sets in one tree of images and one of masks.

Sources:
  Z. Zhang, W. Jin, J. Xu, M.-M. Cheng, "Gradient-Induced Co-Saliency Detection", ECCV 2020
  D. Zhang, J. Han, C. Li, J. Wang, X. Li, "Detection of Co-salient Objects by Looking Deep and
  Wide", IJCV 2016
  D.-P. Fan et al., "Taking a Deeper Look at Co-Salient Object Detection", CVPR 2020
Verified: the folders, in public code that reads them. We have no copy of the data.
"""

from functools import partial
from pathlib import Path

from cosseg_jax.data.builders.layouts.layout import LabelledImage, Layout, class_folders
from cosseg_jax.data.builders.layouts.pack import paired_images
from cosseg_jax.errors import UserError

COSAL_IMAGE_TREES = ("image", "images", "img", "imgs")
COSAL_MASK_TREES = ("binary", "groundtruth", "gt", "gts")


def cosal_layout(name: str) -> Layout:
    """The layout of one of the three, whose folder is called `name` in any case."""
    description = f"""expected a benchmark of co-salient objects, in one of these ways:
  {name}/image/<group>/<name>.jpg, or Image/
  {name}/binary/<group>/<name>.png, or groundtruth/, GroundTruth/
or, as collections of several data sets have it:
  images/{name}/<group>/<name>.jpg, or img/
  gts/{name}/<group>/<name>.png, or gt/"""
    return Layout(description, partial(_find, name), partial(_images, name, description))


def _find(name: str, folder: Path) -> Path | None:
    """The data set's own folder, or the one that holds the two trees of a collection."""
    places = [folder, *_called((name,), folder)]
    return next((place for place in places if _trees(name, place) is not None), None)


def _images(name: str, description: str, root: Path) -> list[LabelledImage]:
    trees = _trees(name, root)
    if trees is None:
        raise UserError(f"{root} no longer holds {name}: {description}")
    return paired_images(*trees, description)


def _trees(name: str, root: Path) -> tuple[Path, Path] | None:
    """The trees of images and masks in a data set's own folder or in a collection."""
    images, masks = _called(COSAL_IMAGE_TREES, root), _called(COSAL_MASK_TREES, root)
    if len(images) != 1 or len(masks) != 1:
        return None
    if root.name.casefold() == name.casefold():
        return images[0], masks[0]
    inside = [_called((name,), tree) for tree in (images[0], masks[0])]
    return (inside[0][0], inside[1][0]) if all(len(found) == 1 for found in inside) else None


def _called(names: tuple[str, ...], folder: Path) -> list[Path]:
    """The folders in a folder that have one of the names, in whatever case."""
    if not folder.is_dir():
        return []
    known = {name.casefold() for name in names}
    return [path for found, path in class_folders(folder).items() if found.casefold() in known]
