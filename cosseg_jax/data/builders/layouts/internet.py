"""The Internet images in the folders of Rubinstein et al., a hundred images a class.

Images lie in Data/Airplane100, Car100 and Horse100, each with its masks in a GroundTruth/ of its
own. Some images came up in the search without showing the object; their masks are all black. A
missing mask may mean the same, or an incomplete copy. An image without one is therefore taken for
one without the object (all background, not void) only where all black masks were left out: no mask
in its class is all black, and at most half are missing. Anything else is an error.

Source:
  M. Rubinstein, A. Joulin, J. Kopf, C. Liu, "Unsupervised Joint Object Discovery and Segmentation
  in Internet Images", CVPR 2013; https://people.csail.mit.edu/mrub/ObjectDiscovery/
Verified: the folders, in the authors' evaluation script and in public readers; that masks without
the object are all black, in the authors' evaluator, which leaves J out for them, and in a reader
that opens a mask for each image.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cosseg_jax.data.builders.layouts.layout import (
    LOSSLESS_SUFFIXES,
    LabelledImage,
    Layout,
    check_none_missing,
    files_by_stem,
    root_at_or_below,
)
from cosseg_jax.data.file_kinds import IMAGE_SUFFIXES
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.masks import decode_mask
from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

INTERNET_PLACES = ("", "Data", "ObjectDiscovery-data/Data", "ObjectDiscovery-data")
CLASS_FOLDERS = {"airplane": "Airplane100", "car": "Car100", "horse": "Horse100"}


def find_internet(folder: Path) -> Path | None:
    """The folder that holds one of the class folders, or None."""
    roots = (root_at_or_below(folder, INTERNET_PLACES, [name]) for name in CLASS_FOLDERS.values())
    return next((root for root in roots if root is not None), None)


def internet_images(root: Path) -> list[LabelledImage]:
    """The images of the three classes with their masks.

    Raises MissingFileError for a class, a folder of masks or masks that are missing, UserError for
    a mask without its image.
    """
    folders = [root / name for name in CLASS_FOLDERS.values()]
    check_none_missing(
        [part for path in folders for part in (path, path / "GroundTruth") if not part.is_dir()],
        "the data set has all three classes, each with its masks; unpack the whole archive again",
    )
    return [image for category in CLASS_FOLDERS for image in _images_of_class(category, root)]


INTERNET = Layout(
    """expected the data of "Unsupervised Joint Object Discovery and Segmentation":
  Data/{Airplane100,Car100,Horse100}/<name>.jpg
  Data/{Airplane100,Car100,Horse100}/GroundTruth/<name>.png
Get it from https://people.csail.mit.edu/mrub/ObjectDiscovery/ (ObjectDiscovery-data.zip)""",
    find=find_internet,
    images=internet_images,
)


def without_object(image: Path) -> UInt8[Ndarray, "H W"]:
    """The label map of an image without the object: nothing but background."""
    return np.zeros(decode_image(image).shape[:2], np.uint8)


def _images_of_class(category: str, root: Path) -> list[LabelledImage]:
    folder = root / CLASS_FOLDERS[category]
    images = files_by_stem(folder, IMAGE_SUFFIXES)
    masks = files_by_stem(folder / "GroundTruth", LOSSLESS_SUFFIXES)
    lone = sorted(masks.keys() - images)
    if lone or not images:
        raise UserError(
            f"{folder} has {len(images)} images and {len(lone)} masks without theirs"
            f"{f', the first being {masks[lone[0]]}' if lone else ''}; unpack the archive again"
        )
    _check_left_out(images, masks)
    return [
        LabelledImage(category, stem, image, masks[stem])
        if stem in masks
        else LabelledImage(category, stem, image, image, without_object)
        for stem, image in images.items()
    ]


def _check_left_out(images: dict[str, Path], masks: dict[str, Path]) -> None:
    """Raises MissingFileError unless all that is missing are the black masks."""
    missing = [images[stem] for stem in sorted(images.keys() - masks)]
    if 2 * len(missing) > len(images):
        check_none_missing(missing, "more than half of the images have no mask in GroundTruth/")
    if missing and not all(decode_mask(mask).any() for mask in masks.values()):
        check_none_missing(
            missing,
            "images without the object have a black mask in GroundTruth/, as others there do; "
            "unpack the archive again, or add a black mask where the object is not shown",
        )
