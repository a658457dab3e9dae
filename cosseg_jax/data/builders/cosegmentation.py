"""The co-segmentation benchmarks, and anyone's own folders, as TFDS data sets (section 4.2).

However a data set is distributed, one of its layouts makes it a list of entries: a photograph in a
class, with its mask there. A photograph in two classes makes two entries. Masks become label maps
when the data set is prepared, upright like their photographs: a mask that has the size only of the
photograph as it is stored, before its EXIF tag turns it, is turned with it.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8
from tqdm import tqdm

from cosseg_jax.data.builders.build import prepare_once, version_of
from cosseg_jax.data.builders.expected import EXPECTED, Checksum, differences
from cosseg_jax.data.builders.layouts import folder, icoseg, internet, msrc, pack, voc_list
from cosseg_jax.data.builders.layouts.entry import VOID, Entry, Layout
from cosseg_jax.data.images import decode_image, decode_labels, encode_labels, turned_like
from cosseg_jax.data.prepared import PreparedSource, Record, find_prepared, metadata_of
from cosseg_jax.types import Example, Ndarray


def _pack(folder_name: str, name: str) -> Layout:
    return pack.layout(folder_name, classes=tuple(EXPECTED[name].counts))


LAYOUTS: dict[str, tuple[Layout, ...]] = {  # where several fit, the first counts
    "pascal": (_pack("PASCAL_VOC", "pascal"), voc_list.LAYOUT),
    "msrc": (_pack("MSRC7", "msrc"), msrc.LAYOUT),
    "internet": (_pack("Internet_Datasets300", "internet"), internet.LAYOUT),
    "icoseg": (_pack("iCoseg8", "icoseg"), icoseg.LAYOUT),
    "folder": (folder.LAYOUT,),
}


class Cosegmentation(tfds.core.GeneratorBasedBuilder):
    """A data set's entries: photographs as they are, masks as label maps in 8-bit PNG."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(tfds.core.BuilderConfig(name=name) for name in LAYOUTS)
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Any of the layouts in cosegmentation.LAYOUTS; see docs/data.md."

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(),
            "label": tfds.features.Image(
                shape=(None, None, 1), doc=f"1 on the object, {VOID} where it is not known"
            ),
            "category": tfds.features.Text(),
            "name": tfds.features.Text(doc="class/stem"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Co-segmentation: photographs by class, with the masks of their objects.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(categories=[], splits={}, differences=[], checksum=""),
            homepage="https://github.com/cj4L/SSNM-Coseg",
            disable_shuffling=True,  # the metadata lists the records in their order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        name = str(self.builder_config and self.builder_config.name)
        layout, root = locate(name, Path(dl_manager.manual_dir))
        return {"test": self._generate_examples(name, layout.entries(root))}

    def _generate_examples(self, name: str, entries: list[Entry]) -> Iterator[tuple[int, Record]]:
        names = checked_names(entries)
        categories = sorted({entry.category for entry in entries})
        labels = [[categories.index(entry.category)] for entry in entries]
        metadata, checksum = metadata_of(self), Checksum()
        metadata["categories"] = categories
        metadata["splits"]["test"] = {"names": names, "categories": labels}
        for key, entry in enumerate(tqdm(entries, f"preparing {name}", unit=" photographs")):
            encoded = entry.image.read_bytes()
            image = decode_image(encoded, str(entry.image))
            label = upright_labels(entry, image)
            checksum.add(entry.category, image, label)
            record = {"image": encoded, "label": encode_labels(label)}
            yield key, record | {"category": entry.category, "name": names[key]}
        whole = checksum.hexdigest()
        metadata["checksum"] = whole
        metadata["differences"] = differences(name, [entry.category for entry in entries], whole)


def load(name: str, data_dir: Path) -> PreparedSource:
    """A data set as a `Source`, from its prepared form or one of its distributions in data_dir.

    Args:
      name: a key of LAYOUTS.
      data_dir: the folder of either, or the one above.

    Raises FileNotFoundError when there is neither, ValueError when a file is bad.
    """
    directory = find_prepared(data_dir, version_of(Cosegmentation, name))
    if directory is None:
        layout, root = locate(name, data_dir)
        entries = layout.entries(root)
        files = {file for entry in entries for file in (entry.image, entry.mask) if file}
        directory = prepare_once(Cosegmentation, root, files, name, checked_names(entries))
    return PreparedSource(name, directory, "test", example_of)


def example_of(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    label = decode_labels(record["label"], name)
    return Example(
        image=decode_image(record["image"], name),
        masks=label[None] == 1,  # [1, H, W]
        void=label == VOID,
        categories=categories,
        name=name,
    )


def locate(name: str, data_dir: Path) -> tuple[Layout, Path]:
    """The first of a data set's layouts that is in a folder, and its root there.

    Raises FileNotFoundError, with all layouts, when none is.
    """
    for layout in LAYOUTS[name]:
        root = layout.find(data_dir)
        if root is not None:
            return layout, root
    descriptions = "\nor: ".join(layout.description for layout in LAYOUTS[name])
    raise FileNotFoundError(f"no data set {name!r} in {data_dir}: {descriptions}")


def checked_names(entries: list[Entry]) -> list[str]:
    """The entries' names, class/stem. Raises ValueError when two have the same."""
    names = [f"{entry.category}/{entry.stem}" for entry in entries]
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        first, second, *_ = (e.image for e, n in zip(entries, names, strict=True) if n == twice[0])
        raise ValueError(f"{first} and {second} are both called {twice[0]!r}; keep one of them")
    return names


def upright_labels(entry: Entry, image: UInt8[Ndarray, "H W 3"]) -> UInt8[Ndarray, "H W"]:
    """An entry's label map, upright as its decoded photograph is; all void without a mask.

    A mask of the upright photograph's size is taken as it is; one that has the size of the
    photograph before it was turned is turned likewise.

    Raises ValueError when the mask has neither size.
    """
    height, width = image.shape[:2]
    if entry.mask is None:
        return np.full((height, width), VOID, np.uint8)
    labels = entry.decode(entry.mask)
    if labels.shape == (height, width):
        return labels
    turned = turned_like(labels, entry.image)
    if turned.shape == (height, width):
        return turned
    raise ValueError(
        f"{entry.mask} is {labels.shape[1]} x {labels.shape[0]} pixels and its photograph "
        f"{entry.image} {width} x {height} (upright); expected the same size"
    )
