"""PASCAL VOC 2012 segmentation: images with class masks, as a TFDS data set.

Reads a standard devkit. A category's mask is the pixels of its class, all instances together;
value 255, along outlines and on what was too hard to label, is void.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8
from tqdm import tqdm

from cosseg_jax.data.builders.build import Distribution, prepare_in_cache
from cosseg_jax.data.builders.layouts.layout import stored_file
from cosseg_jax.data.builders.lists import read_text
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.masks import VOID_LABEL, decode_labels
from cosseg_jax.data.prepared import PreparedSource, Record, find_prepared, metadata_of
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Example, Ndarray

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
VOC_SPLITS = ("train", "val")
DEVKIT = """expected a VOC 2012 devkit, with data_dir being VOC2012, VOCdevkit or its parent:
  VOCdevkit/VOC2012/JPEGImages/<name>.jpg
  VOCdevkit/VOC2012/SegmentationClass/<name>.png
  VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val}.txt
Get it from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)"""


class VocSegmentation(tfds.core.GeneratorBasedBuilder):
    """The devkit's segmentation splits, images and label files as they are."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = DEVKIT

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(),
            "label": tfds.features.Image(
                shape=(None, None, 1), doc="0, class + 1, or 255 for void"
            ),
            "name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="PASCAL VOC 2012 images with their class masks.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(categories=VOC_CLASSES, splits={}),
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            disable_shuffling=True,  # the metadata lists the records in their order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        devkit = find_devkit(Path(dl_manager.manual_dir))
        return {split: self._generate_examples(devkit, split) for split in VOC_SPLITS}

    def _generate_examples(self, devkit: Path, split: str) -> Iterator[tuple[int, Record]]:
        index = {"names": [], "categories": []}
        metadata_of(self)["splits"][split] = index
        names = tqdm(split_names(devkit, split), f"preparing voc {split}", unit=" images")
        for key, name in enumerate(names):
            image, label = devkit_pair(devkit, name)
            index["names"].append(name)
            index["categories"].append(checked_categories(image, label))
            yield key, {"image": image.read_bytes(), "label": label.read_bytes(), "name": name}


def load_voc(split: str, data_dir: Path) -> PreparedSource:
    """The split as a `Source`, from a prepared data set or a devkit in data_dir.

    Raises MissingFileError when there is neither, UserError when a file is bad.
    """
    directory = find_prepared(data_dir, f"voc_segmentation/{VocSegmentation.VERSION}")
    if directory is None:
        directory = prepare_in_cache(voc_distribution(data_dir))
    return PreparedSource("voc", directory, split, voc_example)


def voc_distribution(data_dir: Path) -> Distribution:
    """The devkit in data_dir with its builder. Raises MissingFileError where it is incomplete."""
    devkit = find_devkit(data_dir)
    return Distribution(VocSegmentation, devkit, devkit_files(devkit))


def voc_example(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    label = decode_labels(record["label"], name)
    return Example(
        image=decode_image(record["image"], name),
        masks=label[None] == categories[:, None, None] + 1,  # [K, H, W]
        void=label == VOID_LABEL,
        categories=categories,
        name=name,
    )


def find_devkit(data_dir: Path) -> Path:
    """The VOC2012 folder at or below data_dir. Raises MissingFileError when there is none."""
    for folder in (data_dir / "VOCdevkit" / "VOC2012", data_dir / "VOC2012", data_dir):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise MissingFileError(f"no VOC data set in {data_dir}: {DEVKIT}")


def devkit_files(devkit: Path) -> list[Path]:
    """Every file of the two splits. Raises MissingFileError when one is missing."""
    lists = [_split_list(devkit, split) for split in VOC_SPLITS]
    names = [name for split in VOC_SPLITS for name in split_names(devkit, split)]
    return lists + [file for name in names for file in devkit_pair(devkit, name)]


def split_names(devkit: Path, split: str) -> list[str]:
    """The names in a split's list, sorted. Raises UserError when there are none."""
    file = _split_list(devkit, split)
    if not file.is_file():
        raise MissingFileError(f"{file} is missing: {DEVKIT}")
    names = sorted(set(read_text(file).split()))
    if not names:
        raise UserError(f"{file} names no images; expected one name a line")
    return names


def devkit_pair(devkit: Path, name: str) -> tuple[Path, Path]:
    """An image and its label file, VOC's own or else that of SBD in SegmentationClassAug.

    Raises MissingFileError when either is missing.
    """
    image = stored_file(devkit / "JPEGImages", f"{name}.jpg")
    label = stored_file(devkit / "SegmentationClass", f"{name}.png")
    of_sbd = stored_file(devkit / "SegmentationClassAug", f"{name}.png")
    if of_sbd.is_file() and not label.is_file():
        label = of_sbd
    for file in (image, label):
        if not file.is_file():
            raise MissingFileError(
                f"{file} is missing, though {devkit / 'ImageSets' / 'Segmentation'} lists {name!r}"
            )
    return image, label


def checked_categories(image: Path, label: Path) -> list[int]:
    """The categories in a label file. Raises UserError when it does not fit its image."""
    values = decode_labels(label)
    height, width = decode_image(image).shape[:2]
    if values.shape != (height, width):
        raise UserError(
            f"{label} is {values.shape[1]} x {values.shape[0]} pixels and its image {image} "
            f"{width} x {height} (upright); expected the same size"
        )
    return check_class_values(values, label)


def check_class_values(values: UInt8[Ndarray, "H W"], label: Path) -> list[int]:
    """The classes in a label map, counted from 0. Raises UserError for a value of no class."""
    found = np.unique(values)
    strange = found[(found > len(VOC_CLASSES)) & (found != VOID_LABEL)]
    if strange.size:
        raise UserError(
            f"{label} has values {strange.tolist()}; expected 0 (background), 1 to "
            f"{len(VOC_CLASSES)} (classes) and {VOID_LABEL} (void)"
        )
    return [int(value) - 1 for value in found if 0 < value <= len(VOC_CLASSES)]


def _split_list(devkit: Path, split: str) -> Path:
    return devkit / "ImageSets" / "Segmentation" / f"{split}.txt"
