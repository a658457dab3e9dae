"""Segmentations in COCO's format, as pycocotools reads it: masks as uncompressed run lengths."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from cosseg_jax.types import Ndarray

CATEGORY = {"id": 1, "name": "shared object"}


class Segmented(NamedTuple):
    """A photograph's mask as COCO has it.

    annotation: without ids; None where the mask is empty.
    """

    file_name: str
    height: int
    width: int
    presence: float
    annotation: dict[str, Any] | None


def segmented(mask: Bool[Ndarray, "H W"], file_name: str, presence: float) -> Segmented:
    """A photograph's mask as COCO has it.

    presence: how probable it is that the object is in the photograph, 0..1.
    """
    height, width = mask.shape
    annotation = None
    if mask.any():
        annotation = {
            "segmentation": {"size": [height, width], "counts": run_lengths(mask)},
            "bbox": bounding_box(mask),
            "area": int(mask.sum()),
            "iscrowd": 0,
            "score": presence,
        }
    return Segmented(file_name, height, width, presence, annotation)


def run_lengths(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """How many pixels are off, then on, then off and so on, down the columns from the left."""
    pixels = mask.ravel(order="F")  # [W * H]
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
    return [0, *lengths] if pixels[0] else lengths


def bounding_box(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """[left, top, width, height] of what is on, in pixels; some pixel is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def data_set(photos: list[Segmented], info: Mapping[str, Any]) -> dict[str, Any]:
    """COCO's JSON of a group; a photograph without the object has no annotation."""
    numbered = list(enumerate(photos, start=1))
    images = [
        {
            "id": number,
            "file_name": photo.file_name,
            "width": photo.width,
            "height": photo.height,
            "presence": photo.presence,
        }
        for number, photo in numbered
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": CATEGORY["id"], **photo.annotation}
        for number, photo in numbered
        if photo.annotation is not None
    ]
    return {
        "info": dict(info),
        "images": images,
        "annotations": annotations,
        "categories": [CATEGORY],
    }
