"""PASCAL VOC 2012 segmentation: photographs with class masks, as a TFDS data set.

Reads a standard devkit. A category's mask is the pixels of its class, all instances together;
value 255, along outlines and on what was too hard to label, is void.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from tqdm import tqdm

from cosseg_jax.data.builders.build import prepare_once
from cosseg_jax.data.images import decode_image, decode_labels
from cosseg_jax.data.prepared import PreparedSource, Record, find_prepared, metadata_of
from cosseg_jax.types import Example, Ndarray

CATEGORIES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
SPLITS = ("train", "val")
VOID = 255

LAYOUT = """expected a VOC 2012 devkit, with data_dir being VOC2012, VOCdevkit or its parent:
  VOCdevkit/VOC2012/JPEGImages/<name>.jpg
  VOCdevkit/VOC2012/SegmentationClass/<name>.png
  VOCdevkit/VOC2012/ImageSets/Segmentation/{train,val}.txt
Get it from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ (VOCtrainval_11-May-2012.tar)"""


class VocSegmentation(tfds.core.GeneratorBasedBuilder):
    """The devkit's segmentation splits, images and label files as they are."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = LAYOUT

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
            description="PASCAL VOC 2012 photographs with their class masks.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(categories=CATEGORIES, splits={}),
            homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            disable_shuffling=True,  # the metadata lists the records in their order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        devkit = find_devkit(Path(dl_manager.manual_dir))
        return {split: self._generate_examples(devkit, split) for split in SPLITS}

    def _generate_examples(self, devkit: Path, split: str) -> Iterator[tuple[int, Record]]:
        index = {"names": [], "categories": []}
        metadata_of(self)["splits"][split] = index
        names = tqdm(split_names(devkit, split), f"preparing voc {split}", unit=" photographs")
        for key, name in enumerate(names):
            image, label = photograph_files(devkit, name)
            index["names"].append(name)
            index["categories"].append(checked_categories(image, label))
            yield key, {"image": image.read_bytes(), "label": label.read_bytes(), "name": name}


def load(split: str, data_dir: Path) -> PreparedSource:
    """The split as a `Source`, from a prepared data set or a devkit in data_dir.

    Raises FileNotFoundError when there is neither, ValueError when a file is bad.
    """
    directory = find_prepared(data_dir, f"voc_segmentation/{VocSegmentation.VERSION}")
    if directory is None:
        devkit = find_devkit(data_dir)
        directory = prepare_once(VocSegmentation, devkit, devkit_files(devkit))
    return PreparedSource("voc", directory, split, example_of)


def example_of(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    label = decode_labels(record["label"], name)
    return Example(
        image=decode_image(record["image"], name),
        masks=label[None] == categories[:, None, None] + 1,  # [K, H, W]
        void=label == VOID,
        categories=categories,
        name=name,
    )


def find_devkit(data_dir: Path) -> Path:
    """The VOC2012 folder at or below data_dir. Raises FileNotFoundError when there is none."""
    for folder in (data_dir / "VOCdevkit" / "VOC2012", data_dir / "VOC2012", data_dir):
        if (folder / "ImageSets" / "Segmentation").is_dir():
            return folder
    raise FileNotFoundError(f"no VOC data set in {data_dir}: {LAYOUT}")


def devkit_files(devkit: Path) -> list[Path]:
    """Every file of the two splits. Raises FileNotFoundError when one is missing."""
    lists = [_split_file(devkit, split) for split in SPLITS]
    names = [name for split in SPLITS for name in split_names(devkit, split)]
    return lists + [file for name in names for file in photograph_files(devkit, name)]


def split_names(devkit: Path, split: str) -> list[str]:
    """The names in a split's list, sorted. Raises ValueError when there are none."""
    file = _split_file(devkit, split)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: {LAYOUT}")
    names = sorted(set(file.read_text().split()))
    if not names:
        raise ValueError(f"{file} names no photographs; expected one name a line")
    return names


def photograph_files(devkit: Path, name: str) -> tuple[Path, Path]:
    """A photograph and its label file. Raises FileNotFoundError when either is missing."""
    image = devkit / "JPEGImages" / f"{name}.jpg"
    label = devkit / "SegmentationClass" / f"{name}.png"
    for file in (image, label):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is missing, though {devkit / 'ImageSets' / 'Segmentation'} lists {name!r}"
            )
    return image, label


def checked_categories(image: Path, label: Path) -> list[int]:
    """The categories in a label file. Raises ValueError when it does not fit its photograph."""
    values = decode_labels(label)
    height, width = decode_image(image).shape[:2]
    if values.shape != (height, width):
        raise ValueError(
            f"{label} is {values.shape[1]} x {values.shape[0]} pixels and its photograph {image} "
            f"{width} x {height} (upright); expected the same size"
        )
    found = np.unique(values)
    strange = found[(found > len(CATEGORIES)) & (found != VOID)]
    if strange.size:
        raise ValueError(
            f"{label} has values {strange.tolist()}; expected 0 (background), 1 to "
            f"{len(CATEGORIES)} (classes) and {VOID} (void)"
        )
    return [int(value) - 1 for value in found if 0 < value <= len(CATEGORIES)]


def _split_file(devkit: Path, split: str) -> Path:
    return devkit / "ImageSets" / "Segmentation" / f"{split}.txt"
