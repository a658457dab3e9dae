"""The files that `cosseg segment` and `cosseg apply` write, each whole or not at all.

DIR/masks/<name>.png      grey, 0 and 255
DIR/labels/<name>.png     of several classes: 0 none, 1 the first one, in VOC's colours
DIR/cutouts/<name>.png    the object on a ground as the options say, RGBA if it is transparent
DIR/overlays/<name>.jpg   the mask in green, the rest darkened
DIR/segmentation.json     all masks in COCO's format, as pycocotools reads it
DIR/annotations/<format>  all masks in another tool's format
"""

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from cosseg_jax.cli.cutouts import cutout, with_looks
from cosseg_jax.cli.looks import PLAIN, Looks
from cosseg_jax.data.images import reopenable
from cosseg_jax.files import PNG_COMPRESSION, save_mask, unique_names, write_whole
from cosseg_jax.predict.annotations.coco import write_coco
from cosseg_jax.predict.annotations.formats import FORMATS
from cosseg_jax.predict.annotations.images import FoundClass, Images, found_class
from cosseg_jax.predict.annotations.palette import palette_png
from cosseg_jax.predict.drawing import tinted
from cosseg_jax.predict.result import ConceptResult
from cosseg_jax.types import Ndarray

SUFFIX_OF = {"masks": ".png", "labels": ".png", "cutouts": ".png", "overlays": ".jpg"}
JSON_FILE = "segmentation.json"
ANNOTATIONS = "annotations"
OVERLAY_ROWS = 256  # of a photo that are tinted at once
JPEG_QUALITY = 90


class Destination(NamedTuple):
    """Where the files of photos go.

    folder: for all of them.
    stems: the names, without suffix, of the files of each photo.
    kinds: what is written: keys of SUFFIX_OF, and "json".
    formats: keys of FORMATS.
    """

    folder: Path
    stems: Mapping[Path, str]
    kinds: Sequence[str]
    formats: Sequence[str] = ()

    @property
    def files(self) -> list[Path]:
        """All files that will be written, if every photo can be read."""
        found = [file for stem in self.stems.values() for file in self.files_of(stem).values()]
        return [*found, *annotation_files(self.folder, list(self.stems.values()), self)]

    def files_of(self, stem: str) -> dict[str, Path]:
        """One photo's files, by kind."""
        kinds = [kind for kind in SUFFIX_OF if kind in self.kinds]
        return {kind: self.folder / kind / f"{stem}{SUFFIX_OF[kind]}" for kind in kinds}


class WrittenPhoto(NamedTuple):
    """What was found in a photo whose files are written.

    share: of its pixels that its mask covers.
    classes: by name.
    """

    height: int
    width: int
    share: float
    classes: dict[str, FoundClass]


def destination_of(
    folder: Path, photos: Sequence[Path], kinds: Sequence[str], formats: Sequence[str] = ()
) -> Destination:
    """Names the files after the photos: portable names, duplicates with a numeric suffix."""
    stems = unique_names([photo.stem for photo in photos])
    return Destination(folder, dict(zip(photos, stems, strict=True)), kinds, formats)


def write_photo(
    files: Mapping[str, Path],
    found: ConceptResult,
    threshold: float,
    *,
    numbers: Mapping[str, int],
    shown: str | None = None,
    instances: bool = False,
    looks: Looks = PLAIN,
) -> WrittenPhoto:
    """Writes one photo's files, in which each pixel belongs to one class or to none.

    Args:
        files: by kind.
        found: in the photo, which is read once, if at all.
        threshold: probability above which a pixel belongs to a class.
        numbers: of the classes in label maps.
        shown: the class of mask, cut-out and overlay; by default all of them.
        instances: whether each connected part has an annotation of its own.
        looks: of masks and cut-outs.
    """
    pixels = None
    refined = any(x.refine is not None and x.presence > threshold for x in found.classes.values())
    if refined or files.keys() & {"cutouts", "overlays"}:
        first = next(iter(found.classes.values()))
        pixels = first.image
        found = _reading(found, reopenable(pixels, first.name))
    labels = _with_looks(found.labels_at(threshold), looks)
    masks = {name: labels == place for place, name in enumerate(found.classes, start=1)}
    if "labels" in files:
        table = np.asarray([0, *(numbers[name] for name in found.classes)], np.uint8)
        write_whole(files["labels"], palette_png(table[labels]))
    mask = labels > 0 if shown is None else masks[shown]
    _write_kinds(files, pixels, mask, looks)
    classes = {
        name: found_class(mask, image.presence, image.score, instances=instances)
        for (name, image), mask in zip(found.classes.items(), masks.values(), strict=True)
    }
    height, width = labels.shape
    return WrittenPhoto(height, width, float(mask.mean()), classes)


def annotation_files(folder: Path, stems: Sequence[str], to: Destination) -> list[Path]:
    """The files of annotations of photos with these stems."""
    found = [folder / JSON_FILE] if "json" in to.kinds else []
    for name in to.formats:
        found += [folder / ANNOTATIONS / name / file for file in FORMATS[name].files(stems)]
    return found


def write_annotations(
    to: Destination, images: Images, classes: Sequence[str], info: Mapping[str, Any]
) -> None:
    """Writes the annotations of all photos; one photo is in memory at a time.

    info: goes into COCO's JSON.
    """
    if "json" in to.kinds:
        write_coco(to.folder / JSON_FILE, images, classes, info)
    for name in to.formats:
        FORMATS[name].write(to.folder / ANNOTATIONS / name, images, classes)


def overlay(image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 3"]:
    """The image with its mask in green; drawn in strips, which takes less memory."""
    starts = range(0, len(image), OVERLAY_ROWS)
    strips = [
        tinted(image[row : row + OVERLAY_ROWS], mask[row : row + OVERLAY_ROWS]) for row in starts
    ]
    return np.concatenate(strips)


def encode_image(image: UInt8[Ndarray, "H W C"], file_format: str) -> bytes:
    """Encodes an image as the content of a file."""
    buffer = io.BytesIO()
    options = {"quality": JPEG_QUALITY, "compress_level": PNG_COMPRESSION}  # of JPEG and WebP; PNG
    Image.fromarray(image).save(buffer, format=file_format, **options)
    return buffer.getvalue()


def relative_names(paths: Sequence[Path]) -> list[str]:
    """The paths below the deepest folder that holds them all, with forward slashes."""
    absolute = [path.absolute() for path in paths]
    try:
        root = os.path.commonpath([path.parent for path in absolute])
    except ValueError:  # on several drives
        return [path.name for path in paths]
    return [path.relative_to(root).as_posix() for path in absolute]


def _reading(found: ConceptResult, source: Any) -> ConceptResult:
    """The result whose image is read from a source."""
    classes = {k: dataclasses.replace(v, source=source) for k, v in found.classes.items()}
    return found._replace(classes=classes)


def _with_looks(labels: UInt8[Ndarray, "H W"], looks: Looks) -> UInt8[Ndarray, "H W"]:
    """The label map whose classes look as asked for; a hole that is filled had no class."""
    if not (looks.keep_largest or looks.fill_holes):
        return labels
    found = np.zeros_like(labels)
    for number in np.unique(labels[labels > 0]):
        mask = with_looks(labels == number, looks)
        found[mask & (found == 0) & ((labels == 0) | (labels == number))] = number
    return found


def _write_kinds(
    files: Mapping[str, Path],
    pixels: UInt8[Ndarray, "H W 3"] | None,
    mask: Bool[Ndarray, "H W"],
    looks: Looks,
) -> None:
    """Writes a photo's mask, cut-out and overlay; the last two need its pixels."""
    if "masks" in files:
        save_mask(files["masks"], mask)
    if pixels is not None and "cutouts" in files:
        write_whole(files["cutouts"], encode_image(cutout(pixels, mask, looks), "PNG"))
    if pixels is not None and "overlays" in files:
        write_whole(files["overlays"], encode_image(overlay(pixels, mask), "JPEG"))
