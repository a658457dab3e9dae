"""The masks of an image from COCO's annotations: polygons, or run lengths in either form.

A category's mask is the union of all its instances that are no crowds, small ones too. Where a
crowd of a category of the image lies, it is unknown which pixels are its objects': they are void.

Outlines are checked here because pycocotools does not: its memory grows with a polygon's length,
however far from the image, and it reads beyond run lengths that are cut off.
"""

import warnings
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool

from cosseg_jax.data.builders.coco.annotations import AnnotatedImage, Instance
from cosseg_jax.errors import MissingPackageError, UserError
from cosseg_jax.types import Ndarray

LONGEST_OUTLINE = 1_000_000  # pixels along a polygon, or all of the image's; takes 40 MB
FAR_FROM_INFINITY = 1e300
MOST_RUN_BITS = 60  # of a run length in the compressed form


def mask_api() -> ModuleType:
    """pycocotools.mask. Raises MissingPackageError, with what to install, where it is missing."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise MissingPackageError(
            "preparing coco_seg needs pycocotools: pip install 'cosseg_jax[coco]'"
        ) from error
    return mask


def masks_and_void(
    image: AnnotatedImage, categories: Sequence[int], instances: Sequence[Instance]
) -> tuple[Bool[Ndarray, "K H W"], Bool[Ndarray, "H W"]]:
    """The masks of an image's categories, in their order, and its void.

    Args:
      image: its size is that of the masks.
      categories: the ids of the K categories that it belongs to.
      instances: all of its annotations; those of other categories do not count.

    Raises UserError, naming image and annotation, where an outline is not as COCO has it.
    """
    void = np.zeros((image.height, image.width), bool)
    masks = np.zeros((len(categories), *void.shape), bool)
    for mask, category in zip(masks, categories, strict=True):
        of_category = [instance for instance in instances if instance.category_id == category]
        mask |= union_of(image, (i for i in of_category if not i.crowd))
        if not mask.any():
            raise UserError(
                f"image {image.id}: the instances of category {category}, annotations "
                f"{[i.id for i in of_category]}, cover no pixel, though one has an area that counts"
            )
        void |= union_of(image, (i for i in of_category if i.crowd)) & ~mask
    return masks, void


def union_of(image: AnnotatedImage, instances: Iterable[Instance]) -> Bool[Ndarray, "H W"]:
    """The pixels of at least one of the instances. Raises UserError as `masks_and_void` does."""
    height, width = image.height, image.width
    regions = []
    for instance in instances:
        try:
            regions += _regions(instance.segmentation, height, width)
        except UserError as error:
            where = f"annotation {instance.id} of image {image.id}"
            raise UserError(f"{where}, {width} x {height} pixels: {error}") from error
    if not regions:
        return np.zeros((height, width), bool)
    api = mask_api()
    with warnings.catch_warnings():  # its arrays lack what numpy 2 asks of arrays
        warnings.simplefilter("ignore", DeprecationWarning)
        return api.decode(api.merge(regions)).astype(bool)


def decoded_runs(counts: str | bytes) -> list[int]:
    """The run lengths in COCO's compressed form.

    Every number consists of groups of five bits, the lowest first, in characters from "0"; a sixth
    bit says that the number goes on, the fifth of its last group is its sign. From the fourth
    number on it is the difference to the last but one.

    Raises UserError for other characters, an endless number, or when the text ends within one.
    """
    codes = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    number = shift = 0
    for code in (c - 48 for c in codes):
        if not 0 <= code < 64 or shift > MOST_RUN_BITS:
            raise UserError("its compressed run lengths are not in COCO's form")
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise UserError("its compressed run lengths end within a number")
    return runs


def _regions(segmentation: Any, height: int, width: int) -> list[Any]:
    """A segmentation as pycocotools' own run lengths, one for each polygon."""
    if isinstance(segmentation, dict):
        return [_from_runs(segmentation, height, width)]
    if not segmentation:
        raise UserError("its segmentation is empty; expected polygons or run lengths")
    polygons = [_polygon(points, height * width) for points in segmentation]
    areas = [polygon for polygon in polygons if len(polygon) >= 6]
    return mask_api().frPyObjects(areas, height, width) if areas else []


def _polygon(points: Any, pixels: int) -> list[Any]:
    """x and y in turns; fewer than three points have no area, which does no harm.

    Raises UserError for anything else, and where its outline is longer than the image can hold.
    """
    if not isinstance(points, list) or not points or len(points) % 2 or not _are_finite(points):
        raise UserError(f"a polygon is {points!r:.80}; expected numbers, x and y in turns")
    corners = np.array(points, np.float64).reshape(-1, 2)  # [corners, 2]
    length = np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum()
    reach, longest = np.abs(corners).max(), max(LONGEST_OUTLINE, pixels)
    if length > longest or reach > longest:
        raise UserError(
            f"a polygon reaches the coordinate {reach:g} and is {length:g} pixels long; correct it "
            "or remove the annotation"
        )
    return points


def _are_finite(points: list[Any]) -> bool:
    return all(isinstance(p, int | float) and abs(p) < FAR_FROM_INFINITY for p in points)


def _from_runs(segmentation: dict[str, Any], height: int, width: int) -> Any:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise UserError(f"its run lengths have size {size!r:.80}; expected {[height, width]}")
    runs = decoded_runs(counts) if isinstance(counts, str | bytes) else counts
    pixels = height * width
    if not isinstance(runs, list) or not all(isinstance(r, int) and 0 <= r <= pixels for r in runs):
        raise UserError(
            f"its run lengths are {runs!r:.80}; expected numbers from 0 to {pixels}, or a text"
        )
    if sum(runs) != pixels:
        raise UserError(f"its run lengths sum to {sum(runs)}; expected {pixels}")
    return mask_api().frPyObjects({"size": [height, width], "counts": runs}, height, width)
