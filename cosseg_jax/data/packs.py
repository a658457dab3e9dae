"""The co-segmentation benchmarks in their folder layout, as TFDS data sets (section 4.2).

An entry is a photograph in a class folder together with its mask of the same stem. A photograph
in two classes makes two entries, each with the mask of its own class. Masks of any mode are
binarised when the data set is prepared, by the rule in `decoding.decode_mask`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from tqdm import tqdm

from cosseg_jax.data.decoding import decode_image, decode_mask, encode_mask
from cosseg_jax.data.prepared import (
    PreparedSource,
    Record,
    find_prepared,
    metadata_of,
    prepare_once,
)
from cosseg_jax.types import Example, Ndarray

FOLDERS = {"pascal": "PASCAL_VOC"}  # the name of each pack, and of its folder
SPLITS = ("test",)
NOT_PICTURES = ("Thumbs.db", "desktop.ini")

LAYOUT = """expected a benchmark pack, with data_dir being its folder or the one above:
  <pack>/image/<class>/<name>.<any suffix>
  <pack>/groundtruth/<class>/<name>.<any suffix>
where <pack> is, by data set, {folders}.
The authors' packs are linked from https://github.com/cj4L/SSNM-Coseg""".format(
    folders=", ".join(f"{folder} for {name}" for name, folder in FOLDERS.items())
)


class Entry(NamedTuple):
    """A photograph in a class, with its mask there."""

    category: str
    stem: str
    image: Path
    mask: Path


class CosegmentationPack(tfds.core.GeneratorBasedBuilder):
    """A pack's entries: photographs as they are, masks as 1-bit PNG."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(tfds.core.BuilderConfig(name=name) for name in FOLDERS)
    MANUAL_DOWNLOAD_INSTRUCTIONS = LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(),
            "label": tfds.features.Image(
                shape=(None, None, 1), doc="1-bit PNG, white on the object"
            ),
            "category": tfds.features.Text(),
            "name": tfds.features.Text(doc="class/stem"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="A co-segmentation benchmark: photographs by class, with binary masks.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(categories=[], splits={}),
            homepage="https://github.com/cj4L/SSNM-Coseg",
            disable_shuffling=True,  # the metadata lists the records in their order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        folder = FOLDERS[str(self.builder_config and self.builder_config.name)]
        pack = find_pack(Path(dl_manager.manual_dir), folder)
        return {"test": self._generate_examples(pack)}

    def _generate_examples(self, pack: Path) -> Iterator[tuple[int, Record]]:
        entries = pack_entries(pack)
        categories = sorted({entry.category for entry in entries})
        names = [f"{entry.category}/{entry.stem}" for entry in entries]
        labels = [[categories.index(entry.category)] for entry in entries]
        metadata_of(self)["categories"][:] = categories
        metadata_of(self)["splits"]["test"] = {"names": names, "categories": labels}
        progress = tqdm(entries, f"preparing {pack.name}", unit=" photographs")
        for key, entry in enumerate(progress):
            yield (
                key,
                {
                    "image": entry.image.read_bytes(),
                    "label": encode_mask(checked_mask(entry)),
                    "category": entry.category,
                    "name": names[key],
                },
            )


def load(name: str, data_dir: Path) -> PreparedSource:
    """A pack as a `Source`, from a prepared data set or the raw folders in data_dir.

    Raises FileNotFoundError when there is neither, ValueError when a file is bad.
    """
    version = CosegmentationPack.VERSION
    directory = find_prepared(data_dir, f"cosegmentation_pack/{name}/{version}")
    if directory is None:
        pack = find_pack(data_dir, FOLDERS[name])
        files = [file for entry in pack_entries(pack) for file in (entry.image, entry.mask)]
        directory = prepare_once(CosegmentationPack, pack, files, config=name)
    return PreparedSource(name, directory, "test", example_of)


def example_of(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    mask = decode_mask(record["label"], name)
    return Example(
        image=decode_image(record["image"], name),
        masks=mask[None],  # [1, H, W]
        void=np.zeros_like(mask),
        categories=categories,
        name=name,
    )


def find_pack(data_dir: Path, folder: str) -> Path:
    """The pack's folder at or below data_dir. Raises FileNotFoundError when there is none."""
    for pack in (data_dir / folder, data_dir):
        if (pack / "image").is_dir() and (pack / "groundtruth").is_dir():
            return pack
    raise FileNotFoundError(f"no benchmark pack {folder} in {data_dir}: {LAYOUT}")


def pack_entries(pack: Path) -> list[Entry]:
    """All entries, by class and stem.

    Raises ValueError for classes, photographs or masks without their counterpart.
    """
    classes = _class_names(pack / "image")
    if classes != _class_names(pack / "groundtruth"):
        lone = sorted(set(classes) ^ set(_class_names(pack / "groundtruth")))
        raise ValueError(f"{pack}: class folders {lone} are in only one of image/, groundtruth/")
    if not classes:
        raise ValueError(f"{pack / 'image'} has no class folders: {LAYOUT}")
    return [entry for category in classes for entry in _class_entries(pack, category)]


def checked_mask(entry: Entry) -> np.ndarray:
    """An entry's binary mask. Raises ValueError when it does not fit its photograph."""
    mask = decode_mask(entry.mask)
    height, width = decode_image(entry.image).shape[:2]
    if mask.shape != (height, width):
        raise ValueError(
            f"{entry.mask} is {mask.shape[1]} x {mask.shape[0]} pixels and its photograph "
            f"{entry.image} {width} x {height} (upright); expected the same size"
        )
    return mask


def _class_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and _is_shown(path))


def _class_entries(pack: Path, category: str) -> list[Entry]:
    images = _files_by_stem(pack / "image" / category)
    masks = _files_by_stem(pack / "groundtruth" / category)
    lone = [images.get(stem) or masks[stem] for stem in sorted(images.keys() ^ masks.keys())]
    if lone:
        raise ValueError(
            f"{len(lone)} files have no counterpart of the same name in image/{category} or "
            f"groundtruth/{category}, the first being {lone[0]}; add it, or remove the file"
        )
    return [Entry(category, stem, images[stem], masks[stem]) for stem in sorted(images)]


def _files_by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in sorted(path for path in folder.iterdir() if path.is_file() and _is_shown(path)):
        if file.stem in files:
            raise ValueError(f"{files[file.stem]} and {file} have the same name; keep one of them")
        files[file.stem] = file
    if not files:
        raise ValueError(f"class folder {folder} is empty; add its files, or remove the folder")
    return files


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in NOT_PICTURES
