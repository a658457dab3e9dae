"""The co-segmentation benchmarks, and users' own folders, as TFDS data sets (section 4.2).

In whatever way a data set is distributed, one of its layouts lists its images, each in a class and
with its mask there; an image in two classes is listed twice. Masks become label maps when the data
set is prepared, upright like their images: a mask that only fits the image as it is stored, before
its EXIF tag turns it, is turned with it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int, UInt8
from tqdm import tqdm

from cosseg_jax.data.builders.build import Distribution, prepare_in_cache, version_of
from cosseg_jax.data.builders.expected import BENCHMARKS, Checksum, differences_from_paper
from cosseg_jax.data.builders.layouts.cosal import cosal_layout
from cosseg_jax.data.builders.layouts.folder import FOLDER
from cosseg_jax.data.builders.layouts.fss import FSS
from cosseg_jax.data.builders.layouts.icoseg import ICOSEG
from cosseg_jax.data.builders.layouts.internet import INTERNET
from cosseg_jax.data.builders.layouts.layout import LabelledImage, Layout
from cosseg_jax.data.builders.layouts.msrc import MSRC
from cosseg_jax.data.builders.layouts.pack import pack_layout
from cosseg_jax.data.builders.layouts.voc_list import VOC_LIST
from cosseg_jax.data.images import decode_image
from cosseg_jax.data.masks import VOID_LABEL, decode_labels, encode_labels, turned_like
from cosseg_jax.data.opening import open_image
from cosseg_jax.data.prepared import PreparedSource, Record, find_prepared, metadata_of
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Example, Ndarray

MOST_VALUES = 10  # of a mask that a note lists


def _pack(folder_name: str, name: str) -> Layout:
    return pack_layout(folder_name, classes=tuple(BENCHMARKS[name].counts))


LAYOUTS: dict[str, tuple[Layout, ...]] = {  # where several fit, the first counts
    "pascal": (_pack("PASCAL_VOC", "pascal"), VOC_LIST),
    "msrc": (_pack("MSRC7", "msrc"), MSRC),
    "internet": (_pack("Internet_Datasets300", "internet"), INTERNET),
    "icoseg": (_pack("iCoseg8", "icoseg"), ICOSEG),
    "coca": (cosal_layout("CoCA"),),
    "cosal2015": (cosal_layout("CoSal2015"),),
    "cosod3k": (cosal_layout("CoSOD3k"),),
    "fss1000": (FSS,),
    "folder": (FOLDER,),
}


class Cosegmentation(tfds.core.GeneratorBasedBuilder):
    """A data set's images as they are, with their masks as label maps in 8-bit PNG."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = tuple(tfds.core.BuilderConfig(name=name) for name in LAYOUTS)
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Any of the layouts in cosegmentation.LAYOUTS; see docs/data.md."

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(),
            "label": tfds.features.Image(
                shape=(None, None, 1), doc=f"1 on the object, {VOID_LABEL} where it is not known"
            ),
            "category": tfds.features.Text(),
            "name": tfds.features.Text(doc="class/stem"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Co-segmentation: images by class, with the masks of their objects.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(
                categories=[], splits={}, notes=[], differences=[], checksum=""
            ),
            homepage="https://github.com/cj4L/SSNM-Coseg",
            disable_shuffling=True,  # the metadata lists the records in their order
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        name = str(self.builder_config and self.builder_config.name)
        layout, root = locate(name, Path(dl_manager.manual_dir))
        return {"test": self._generate_examples(name, layout.images(root))}

    def _generate_examples(
        self, name: str, images: list[LabelledImage]
    ) -> Iterator[tuple[int, Record]]:
        check_names(images)
        metadata, checksum = metadata_of(self), Checksum()
        classes = sorted({labelled.category for labelled in images})
        metadata["categories"] = classes
        metadata["splits"]["test"] = {
            "names": [labelled.name for labelled in images],
            "categories": [[classes.index(labelled.category)] for labelled in images],
        }
        with_object = set()
        for key, labelled in enumerate(tqdm(images, f"preparing {name}", unit=" images")):
            encoded = labelled.image.read_bytes()
            image = decode_image(encoded, str(labelled.image))
            labels = upright_labels(labelled, image)
            checksum.add(labelled.category, image, labels)
            if (labels == 1).any():
                with_object.add(labelled.category)
            record = {"image": encoded, "label": encode_labels(labels)}
            yield key, record | {"category": labelled.category, "name": labelled.name}
        metadata["checksum"] = whole = checksum.hexdigest()
        metadata["notes"] = classes_without_object(images, with_object)
        metadata["differences"] = differences_from_paper(name, [i.category for i in images], whole)


def load_cosegmentation(name: str, data_dir: Path) -> PreparedSource:
    """A data set as a `Source`, from its prepared form or one of its distributions in data_dir.

    Args:
      name: a key of LAYOUTS.
      data_dir: the folder of either, or the one above.

    Raises MissingFileError when there is neither, UserError when a file is bad.
    """
    directory = find_prepared(data_dir, version_of(Cosegmentation, name))
    if directory is None:
        directory = prepare_in_cache(cosegmentation_distribution(name, data_dir))
    return PreparedSource(name, directory, "test", cosegmentation_example)


def cosegmentation_distribution(name: str, data_dir: Path) -> Distribution:
    """The distribution of a data set in data_dir, with its builder; raises as `locate`."""
    layout, root = locate(name, data_dir)
    images = layout.images(root)
    check_names(images)
    files = {file for labelled in images for file in (labelled.image, labelled.mask) if file}
    return Distribution(Cosegmentation, root, files, name, [labelled.name for labelled in images])


def cosegmentation_example(record: Record, categories: Int[Ndarray, " K"]) -> Example:
    """Decodes a record."""
    name = record["name"].decode()
    label = decode_labels(record["label"], name)
    return Example(
        image=decode_image(record["image"], name),
        masks=label[None] == 1,  # [1, H, W]
        void=label == VOID_LABEL,
        categories=categories,
        name=name,
    )


def locate(name: str, data_dir: Path) -> tuple[Layout, Path]:
    """The first of a data set's layouts that is in a folder, and its root there.

    Raises MissingFileError, with all layouts, when none is.
    """
    for layout in LAYOUTS[name]:
        root = layout.find(data_dir)
        if root is not None:
            return layout, root
    descriptions = "\nor: ".join(layout.description for layout in LAYOUTS[name])
    raise MissingFileError(f"no data set {name!r} in {data_dir}: {descriptions}")


def check_names(images: Sequence[LabelledImage]) -> None:
    """Raises UserError when two images have the same class and stem."""
    names = Counter(labelled.name for labelled in images)
    for name in (name for name, number in names.items() if number > 1):
        first, second, *_ = (labelled.image for labelled in images if labelled.name == name)
        raise UserError(f"{first} and {second} are both called {name!r}; keep one of them")


def classes_without_object(images: Sequence[LabelledImage], with_object: set[str]) -> list[str]:
    """A line for each class that has masks, of which none shows an object."""
    masks: dict[str, list[Path]] = {}
    for labelled in images:
        if labelled.mask is not None and labelled.category not in with_object:
            masks.setdefault(labelled.category, []).append(labelled.mask)
    return [
        f"no mask of class {category!r} has any object ({len(files)} masks; {files[0]} has the "
        f"values {_values_in(files[0])})"
        for category, files in masks.items()
    ]


def upright_labels(
    labelled: LabelledImage, image: UInt8[Ndarray, "H W 3"]
) -> UInt8[Ndarray, "H W"]:
    """An image's label map, upright as the decoded image is; all void without a mask.

    A mask of the upright image's size is taken as it is; one that has the size of the image before
    it was turned is turned likewise.

    Raises UserError when the mask has neither size.
    """
    height, width = image.shape[:2]
    if labelled.mask is None:
        return np.full((height, width), VOID_LABEL, np.uint8)
    labels = labelled.decode(labelled.mask)
    if labels.shape == (height, width):
        return labels
    turned = turned_like(labels, labelled.image)
    if turned.shape == (height, width):
        return turned
    raise UserError(
        f"{labelled.mask} is {labels.shape[1]} x {labels.shape[0]} pixels and its image "
        f"{labelled.image} {width} x {height} (upright); expected the same size"
    )


def _values_in(mask: Path) -> str:
    values = np.unique(np.asarray(open_image(mask)))
    listed = ", ".join(f"{value:g}" for value in values[:MOST_VALUES])
    return f"{listed}, ..." if len(values) > MOST_VALUES else listed
