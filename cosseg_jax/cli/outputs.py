"""The files that `cosseg segment` writes, one photo at a time, each whole or not at all.

DIR/masks/<name>.png      grey, 0 and 255
DIR/labels/<name>.png     of several classes: 0 none, 1 the first one, in VOC's colours
DIR/cutouts/<name>.png    the object on a ground as the options say, RGBA if it is transparent
DIR/overlays/<name>.jpg   the mask in green, the rest darkened
DIR/segmentation.json     all masks in COCO's format, as pycocotools reads it
"""

import dataclasses
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from tqdm import tqdm

import cosseg_jax
from cosseg_jax.cli.cutouts import connected_parts, cutout, with_looks
from cosseg_jax.cli.looks import PLAIN, Looks
from cosseg_jax.data.images import reopenable
from cosseg_jax.drawing import tinted
from cosseg_jax.files import save_mask, unique_names, write_whole
from cosseg_jax.predict.result import GroupResult, ImageResult
from cosseg_jax.types import Ndarray

SUFFIX_OF = {"masks": ".png", "labels": ".png", "cutouts": ".png", "overlays": ".jpg"}
JSON_FILE = "segmentation.json"
OVERLAY_ROWS = 256  # of a photo that are tinted at once
JPEG_QUALITY = 90
LEAST_PART = 0.0005  # of a photo, below which a connected part is no instance
CATEGORY_NAME = "shared object"  # in COCO's format, of a group without a name


class Destination(NamedTuple):
    """Where a group's files go.

    folder: for all of them.
    stems: the names, without suffix, of the files of each photo.
    kinds: what is written: keys of SUFFIX_OF, and "json".
    """

    folder: Path
    stems: Mapping[Path, str]
    kinds: Sequence[str]

    @property
    def files(self) -> list[Path]:
        """All files that will be written, if every photo can be read."""
        found = [file for stem in self.stems.values() for file in self.files_of(stem).values()]
        return [*found, self.folder / JSON_FILE] if "json" in self.kinds else found

    def files_of(self, stem: str) -> dict[str, Path]:
        """One photo's files, by kind."""
        kinds = [kind for kind in SUFFIX_OF if kind in self.kinds]
        return {kind: self.folder / kind / f"{stem}{SUFFIX_OF[kind]}" for kind in kinds}


class CocoImage(NamedTuple):
    """A photo and its mask in COCO's format.

    annotations: without ids: one of the whole mask, or one of each part; none of an empty mask.
    """

    file_name: str
    height: int
    width: int
    presence: float
    annotations: list[dict[str, Any]]


def destination_of(folder: Path, photos: Sequence[Path], kinds: Sequence[str]) -> Destination:
    """Names the files after the photos: portable names, duplicates with a numeric suffix."""
    stems = unique_names([photo.stem for photo in photos])
    return Destination(folder, dict(zip(photos, stems, strict=True)), kinds)


def write_group(
    to: Destination,
    photos: Sequence[Path],
    result: GroupResult,
    *,
    threshold: float,
    category: str = CATEGORY_NAME,
    instances: bool = False,
    looks: Looks = PLAIN,
) -> list[dict[str, Any]]:
    """Writes a group's files.

    Args:
        to: where.
        photos: those that were segmented, in the order of the result's images.
        threshold: probability above which a pixel belongs to the object.
        category: the name of the object in COCO's format.
        instances: whether each connected part has an annotation of its own.
        looks: of masks and cut-outs.

    Returns what the summary says of each photo. Raises OSError, naming the file, where one cannot
    be written.
    """
    said, in_coco = [], []
    names = relative_names(photos)
    bar = tqdm(photos, desc="writing", unit="photo", leave=False)
    for photo, name, image in zip(bar, names, result.images, strict=True):
        files = to.files_of(to.stems[photo])
        mask = write_photo(files, image, threshold, looks)
        if "json" in to.kinds:
            in_coco.append(coco_image(mask, name, image.presence, instances=instances))
        said.append(
            {
                "name": name,
                "presence": image.presence,
                "share": float(mask.mean()),
                "files": {kind: str(path) for kind, path in files.items()},
            }
        )
    if "json" in to.kinds:
        info = {
            "description": "the object that the images share, segmented by cosseg-jax",
            "version": cosseg_jax.__version__,
            "threshold": threshold,
            "group_categories": result.categories,
        }
        content = json.dumps(coco_data(in_coco, info, category))
        write_whole(to.folder / JSON_FILE, f"{content}\n".encode())
    return said


def write_photo(
    files: Mapping[str, Path], image: ImageResult, threshold: float, looks: Looks = PLAIN
) -> Bool[Ndarray, "H W"]:
    """Writes one photo's files; returns its mask. Reads the photo once, if at all."""
    pixels = None
    refined = image.refine is not None and image.presence > threshold
    if refined or files.keys() & {"cutouts", "overlays"}:
        pixels = image.image
        image = dataclasses.replace(image, source=reopenable(pixels, image.name))
    mask = with_looks(image.mask_at(threshold), looks)
    write_kinds(files, pixels, mask, looks)
    return mask


def write_kinds(
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
    Image.fromarray(image).save(buffer, format=file_format, quality=JPEG_QUALITY)
    return buffer.getvalue()


def relative_names(paths: Sequence[Path]) -> list[str]:
    """The paths below the deepest folder that holds them all, with forward slashes."""
    absolute = [path.absolute() for path in paths]
    try:
        root = os.path.commonpath([path.parent for path in absolute])
    except ValueError:  # on several drives
        return [path.name for path in paths]
    return [path.relative_to(root).as_posix() for path in absolute]


def coco_image(
    mask: Bool[Ndarray, "H W"], file_name: str, presence: float, *, instances: bool = False
) -> CocoImage:
    """A photo and its mask in COCO's format.

    presence: the probability that the object is in the photo, 0..1.
    """
    height, width = mask.shape
    annotations = coco_annotations(mask, presence, instances=instances)
    return CocoImage(file_name, height, width, presence, annotations)


def coco_annotations(
    mask: Bool[Ndarray, "H W"], score: float, *, instances: bool
) -> list[dict[str, Any]]:
    """Annotations without ids; none for an empty mask.

    instances: one for each connected part of at least LEAST_PART of the image, the largest first,
        and for the largest part in any case; else one for the whole mask.
    """
    if not mask.any():
        return []
    parts = connected_parts(mask, LEAST_PART * mask.size) if instances else [mask]
    return [_annotation(part, score) for part in parts]


def _annotation(mask: Bool[Ndarray, "H W"], score: float) -> dict[str, Any]:
    return {
        "segmentation": {"size": list(mask.shape), "counts": compressed(mask_to_counts(mask))},
        "bbox": bounding_box(mask),
        "area": int(mask.sum()),
        "iscrowd": 0,
        "score": score,
    }


def mask_to_counts(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """COCO's uncompressed run lengths: of False, True, False, ... down the columns."""
    pixels = mask.ravel(order="F")  # [W * H]
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
    return [0, *lengths] if pixels[0] else lengths


def compressed(counts: Sequence[int]) -> str:
    """COCO's compressed run lengths, as pycocotools writes them.

    From the fourth on, each is less the one two before it; it is written five bits at a time, the
    lowest first, in characters from "0" on.
    """
    characters = []
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            characters.append(chr(48 + bits + (0x20 if more else 0)))
    return "".join(characters)


def bounding_box(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """[left, top, width, height] of a mask that is not empty, in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def coco_data(
    images: Sequence[CocoImage], info: Mapping[str, Any], category: str
) -> dict[str, Any]:
    """COCO's JSON of a group; an image without the object has no annotation."""
    numbered = list(enumerate(images, start=1))
    return {
        "info": dict(info),
        "images": [
            {
                "id": number,
                "file_name": image.file_name,
                "width": image.width,
                "height": image.height,
                "presence": image.presence,
            }
            for number, image in numbered
        ],
        "annotations": [
            {"id": count, "image_id": number, "category_id": 1, **annotation}
            for count, (number, annotation) in enumerate(
                ((n, each) for n, image in numbered for each in image.annotations), start=1
            )
        ],
        "categories": [{"id": 1, "name": category}],
    }
