"""The Internet images in the folders of Rubinstein et al., a hundred photographs a class.

Photographs lie in Data/Airplane100, Car100 and Horse100, each with its masks in a GroundTruth/ of
its own. Some photographs came up in the search without showing the object; their masks are all
black. A missing mask may mean the same, or an incomplete copy. Therefore a photograph without one
is taken for one without the object (all background, not void) only where the black masks were left
out altogether: no mask in its class is all black, and at most half are missing. Anything else is an
error.

Source:
  M. Rubinstein, A. Joulin, J. Kopf, C. Liu, "Unsupervised Joint Object Discovery and Segmentation
  in Internet Images", CVPR 2013; https://people.csail.mit.edu/mrub/ObjectDiscovery/
Verified: the folders, in the authors' evaluation script and in public readers; that masks without
the object are all black, in the authors' evaluator, which leaves J out for them, and in a reader
that opens a mask for each photograph.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cosseg_jax.data.builders.layouts.entry import Entry, Layout, binary_labels
from cosseg_jax.data.builders.layouts.originals import (
    check_there,
    pictures_by_stem,
    root_at_or_below,
)
from cosseg_jax.data.images import decode_image, decode_mask
from cosseg_jax.types import Ndarray

PLACES = ("", "Data", "ObjectDiscovery-data/Data", "ObjectDiscovery-data")
FOLDERS = {"airplane": "Airplane100", "car": "Car100", "horse": "Horse100"}
MASK_SUFFIXES = (".bmp", ".png")
DESCRIPTION = """expected the data of "Unsupervised Joint Object Discovery and Segmentation":
  Data/{Airplane100,Car100,Horse100}/<name>.jpg
  Data/{Airplane100,Car100,Horse100}/GroundTruth/<name>.png
Get it from https://people.csail.mit.edu/mrub/ObjectDiscovery/ (ObjectDiscovery-data.zip)"""


def find(folder: Path) -> Path | None:
    """The folder that holds one of the class folders, or None."""
    roots = (root_at_or_below(folder, PLACES, [name]) for name in FOLDERS.values())
    return next((root for root in roots if root is not None), None)


def entries(root: Path) -> list[Entry]:
    """The photographs of the three classes with their masks.

    Raises FileNotFoundError for a class, a folder of masks or masks that are missing, ValueError
    for a mask without its photograph.
    """
    folders = [root / name for name in FOLDERS.values()]
    check_there(
        [part for path in folders for part in (path, path / "GroundTruth") if not part.is_dir()],
        "the data set has all three classes, each with its masks; unpack the whole archive again",
    )
    return [entry for category in sorted(FOLDERS) for entry in _class_entries(category, root)]


LAYOUT = Layout(DESCRIPTION, find, entries)


def without_object(photograph: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of a photograph without the object: nothing but background."""
    return np.zeros(decode_image(photograph).shape[:2], np.uint8)


def _class_entries(category: str, root: Path) -> list[Entry]:
    folder = root / FOLDERS[category]
    images = pictures_by_stem(folder)
    masks = pictures_by_stem(folder / "GroundTruth", MASK_SUFFIXES)
    lone = sorted(masks.keys() - images)
    if lone or not images:
        raise ValueError(
            f"{folder} has {len(images)} photographs and {len(lone)} masks without theirs"
            f"{f', the first being {masks[lone[0]]}' if lone else ''}; unpack the archive again"
        )
    _check_left_out(images, masks)
    return [
        Entry(category, stem, image, masks[stem], binary_labels)
        if stem in masks
        else Entry(category, stem, image, image, without_object)
        for stem, image in sorted(images.items())
    ]


def _check_left_out(images: dict[str, Path], masks: dict[str, Path]) -> None:
    """Raises FileNotFoundError unless all that is missing are the black masks."""
    missing = [images[stem] for stem in sorted(images.keys() - masks)]
    if 2 * len(missing) > len(images):
        check_there(missing, "more than half of the photographs have no mask in GroundTruth/")
    if missing and not all(decode_mask(mask).any() for mask in masks.values()):
        check_there(
            missing,
            "photographs without the object have a black mask in GroundTruth/, as others there do; "
            "unpack the archive again, or add a black mask where the object is not shown",
        )
