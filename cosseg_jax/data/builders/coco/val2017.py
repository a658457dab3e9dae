"""COCO's val2017 with all 80 categories, read from its folder as it is, without preparation.

Other than in coco_seg, an image belongs to a category wherever it has an instance of it, however
small. Few-shot segmentation is tested on it (`evaluation.few_shot`).
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from cosseg_jax.data.builders.coco.annotations import Instance, read_index, read_instances
from cosseg_jax.data.builders.coco.masks import mask_api, union_of
from cosseg_jax.data.builders.coco.plan import COCO_TREE, annotations_of, images_of
from cosseg_jax.data.builders.layouts.layout import stored_file
from cosseg_jax.data.images import read_image
from cosseg_jax.data.source import members_of
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Example

FOLDERS = ("", "coco", "COCO", "coco2017")


class CocoVal:
    """The images of val2017 that have an instance, as a `Source`; categories by ascending id."""

    name = "coco"

    def __init__(self, root: Path):
        file = annotations_of(root, "val")
        index = read_index(file, min_area=0.0)
        ids = sorted(index.categories)
        self._folder, self._ids = images_of(root, "val"), ids
        self._images = sorted(
            (index.images[image] for image in index.members), key=lambda x: x.file_name
        )
        numbers = {category: number for number, category in enumerate(ids)}
        self._categories_of = [
            sorted(numbers[category] for category in index.members[image.id])
            for image in self._images
        ]
        self._instances: defaultdict[int, list[Instance]] = defaultdict(list)
        for instance in read_instances(file):
            self._instances[instance.image_id].append(instance)
        self.categories = tuple(index.categories[category] for category in ids)
        self.members = members_of(self._categories_of, len(ids))
        self.names = [Path(image.file_name).stem for image in self._images]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        """Raises UserError for an image that is missing or not of the size in the annotations."""
        image, categories = self._images[index], self._categories_of[index]
        path = stored_file(self._folder, image.file_name)
        if not path.is_file():
            raise MissingFileError(f"{path} is missing: {COCO_TREE}")
        pixels = read_image(path, path.stem).image
        if pixels.shape[:2] != (image.height, image.width):
            raise UserError(
                f"{path} is {pixels.shape[1]} x {pixels.shape[0]} pixels; its annotation file says "
                f"{image.width} x {image.height}"
            )
        masks = np.zeros((len(categories), image.height, image.width), bool)
        void = np.zeros(pixels.shape[:2], bool)
        for mask, category in zip(masks, categories, strict=True):
            of_category = [
                instance
                for instance in self._instances[image.id]
                if instance.category_id == self._ids[category]
            ]
            mask |= union_of(image, (i for i in of_category if not i.crowd))
            void |= union_of(image, (i for i in of_category if i.crowd)) & ~mask
        return Example(pixels, masks, void, np.asarray(categories, np.int64), self.names[index])


def load_coco_val(data_dir: Path) -> CocoVal:
    """val2017 at or below data_dir.

    Raises MissingFileError where there is none, UserError for a bad annotation file, and
    MissingPackageError without pycocotools.
    """
    mask_api()
    for name in FOLDERS:
        root = data_dir / name
        if annotations_of(root, "val").is_file() and images_of(root, "val").is_dir():
            return CocoVal(root)
    raise MissingFileError(f"no val2017 of COCO in {data_dir}: {COCO_TREE}")
