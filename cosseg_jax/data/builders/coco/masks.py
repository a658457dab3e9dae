"""The masks of a photograph from COCO's annotations: polygons, or run lengths in either form.

A category's mask is the union of all its instances that are no crowds, small ones too. Where a
crowd of a category of the photograph lies, which pixels are its objects' is unknown: void.
"""

import warnings
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool

from cosseg_jax.data.builders.coco.annotations import Instance, NamedImage
from cosseg_jax.types import Ndarray


def mask_api() -> ModuleType:
    """pycocotools.mask. Raises ImportError, with what to install, where it is missing."""
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError(
            "preparing coco_seg needs pycocotools: pip install 'cosseg_jax[coco]'"
        ) from error
    return mask


def masks_and_void(
    photograph: NamedImage, categories: Sequence[int], instances: Sequence[Instance]
) -> tuple[Bool[Ndarray, "K H W"], Bool[Ndarray, "H W"]]:
    """The masks of a photograph's categories, in their order, and its void.

    Args:
      photograph: whose size the masks have.
      categories: the ids of the K categories that it belongs to.
      instances: all of its annotations; those of other categories do not count.

    Raises ValueError, naming image and annotation, where an outline is not as COCO has it.
    """
    void = np.zeros((photograph.height, photograph.width), bool)
    masks = np.zeros((len(categories), *void.shape), bool)
    for mask, category in zip(masks, categories, strict=True):
        of_category = [instance for instance in instances if instance.category_id == category]
        mask |= union(photograph, (i for i in of_category if not i.crowd))
        if not mask.any():
            raise ValueError(
                f"image {photograph.id}: the instances of category {category}, annotations "
                f"{[i.id for i in of_category]}, cover no pixel, though one has an area that counts"
            )
        void |= union(photograph, (i for i in of_category if i.crowd)) & ~mask
    return masks, void


def union(photograph: NamedImage, instances: Iterable[Instance]) -> Bool[Ndarray, "H W"]:
    """The pixels of at least one of the instances. Raises ValueError as `masks_and_void` does."""
    height, width = photograph.height, photograph.width
    regions = []
    for instance in instances:
        try:
            regions += _regions(instance.segmentation, height, width)
        except ValueError as error:
            where = f"annotation {instance.id} of image {photograph.id}"
            raise ValueError(f"{where}, {width} x {height} pixels: {error}") from error
    if not regions:
        return np.zeros((height, width), bool)
    api = mask_api()
    with warnings.catch_warnings():  # its arrays lack what numpy 2 asks of arrays
        warnings.simplefilter("ignore", DeprecationWarning)
        return api.decode(api.merge(regions)).astype(bool)


def run_lengths(counts: str | bytes) -> list[int]:
    """The run lengths in COCO's compressed form.

    Every number is of groups of five bits, the lowest first, in characters from "0"; a sixth bit
    says that the number goes on, the fifth of its last group is its sign. From the fourth number
    on it is the difference to the last but one.

    Raises ValueError when the text ends within a number.
    """
    codes = counts.encode() if isinstance(counts, str) else counts
    runs: list[int] = []
    number = shift = 0
    for code in (c - 48 for c in codes):
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("its compressed run lengths end within a number")
    return runs


def _regions(segmentation: Any, height: int, width: int) -> list[Any]:
    """A segmentation as pycocotools' own run lengths, one for each polygon."""
    if isinstance(segmentation, dict):
        return [_from_runs(segmentation, height, width)]
    if not segmentation:
        raise ValueError("its segmentation is empty; expected polygons or run lengths")
    areas = [polygon for polygon in map(_polygon, segmentation) if len(polygon) >= 6]
    return mask_api().frPyObjects(areas, height, width) if areas else []


def _polygon(points: Any) -> list[Any]:
    """x and y in turns; of fewer than three points there is no area, which harms nothing."""
    numbers = isinstance(points, list) and all(isinstance(p, int | float) for p in points)
    if not numbers or not points or len(points) % 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon is {points!r:.80}; expected numbers, x and y in turns")
    return points


def _from_runs(segmentation: dict[str, Any], height: int, width: int) -> Any:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise ValueError(f"its run lengths have size {size}; expected {[height, width]}")
    runs = run_lengths(counts) if isinstance(counts, str | bytes) else counts
    if not isinstance(runs, list) or not all(isinstance(r, int) and r >= 0 for r in runs):
        raise ValueError(f"its run lengths are {runs!r:.80}; expected numbers from 0, or a text")
    if sum(runs) != height * width:
        raise ValueError(f"its run lengths sum to {sum(runs)}; expected {height * width}")
    return mask_api().frPyObjects({"size": size, "counts": runs}, height, width)
