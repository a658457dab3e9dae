"""What was found in an image, as every format writes it: objects of classes, with their masks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from cosseg_jax.predict.annotations.parts import LEAST_PART, connected_parts
from cosseg_jax.predict.annotations.run_lengths import (
    bounding_box,
    compressed,
    counts_to_mask,
    mask_to_counts,
    uncompressed,
)
from cosseg_jax.types import Ndarray


class FoundClass(NamedTuple):
    """What was found of one class.

    presence: the probability that the image has an object of the class, 0..1.
    score: how sure its mask is, 0..1.
    annotations: as in COCO's JSON, without the ids: one of the whole mask, or one of each part;
        none of an empty mask.
    """

    presence: float
    score: float
    annotations: list[dict[str, Any]]

    def masks(self) -> Iterator[Bool[Ndarray, "H W"]]:
        """The masks of the annotations."""
        for each in self.annotations:
            counts = uncompressed(each["segmentation"]["counts"])
            yield counts_to_mask(counts, *each["segmentation"]["size"])


class AnnotatedImage(NamedTuple):
    """An image and what was found in it.

    stem: of the files that belong to it. file_name: of the image itself.
    classes: by name, those that were looked for; no two masks overlap.
    """

    stem: str
    file_name: str
    height: int
    width: int
    classes: dict[str, FoundClass]

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> "AnnotatedImage":
        """The inverse of `as_json`. Raises ValueError for what that has not made."""
        try:
            classes = {name: FoundClass(**each) for name, each in line["classes"].items()}
            image = cls(line["stem"], line["photo"], line["height"], line["width"], classes)
            _check(image)
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError("the line describes no image") from error
        return image

    def as_json(self) -> dict[str, Any]:
        """As a line of a run's record."""
        return {
            "stem": self.stem,
            "photo": self.file_name,
            "height": self.height,
            "width": self.width,
            "classes": {name: each._asdict() for name, each in self.classes.items()},
        }


Images = Callable[[], Iterator[AnnotatedImage]]  # gives all of them, each time from the first


def found_class(
    mask: Bool[Ndarray, "H W"], presence: float, score: float, *, instances: bool = False
) -> FoundClass:
    """What was found of a class whose mask this is.

    instances: an annotation for each connected part of at least LEAST_PART of the image, the
        largest first, and for the largest part in any case; else one for the whole mask.
    """
    if not mask.any():
        return FoundClass(presence, score, [])
    parts = connected_parts(mask, LEAST_PART * mask.size) if instances else [mask]
    return FoundClass(presence, score, [_annotation(part, score) for part in parts])


def label_map(image: AnnotatedImage, numbers: Mapping[str, int]) -> UInt8[Ndarray, "H W"]:
    """The number of each pixel's class, 0 where there is none."""
    labels = np.zeros((image.height, image.width), np.uint8)
    for name, found in image.classes.items():
        for mask in found.masks():
            labels[mask] = numbers[name]
    return labels


def numbers_of(classes: Any) -> dict[str, int]:
    """The classes' numbers, from 1, in label maps and as COCO's categories."""
    return {name: number for number, name in enumerate(classes, start=1)}


def _check(image: AnnotatedImage) -> None:
    """Raises one of several errors for what `AnnotatedImage.as_json` has not made."""
    size = [image.height, image.width]
    if not all(type(side) is int and side > 0 for side in size):
        raise ValueError(f"the size is {size}")
    if not isinstance(image.stem, str) or not isinstance(image.file_name, str):
        raise ValueError("a name is no text")
    for found in image.classes.values():
        scores = [*found[:2], *(each["score"] for each in found.annotations)]
        if not all(type(x) in (int, float) and 0 <= x <= 1 for x in scores):
            raise ValueError("presence or a score is no probability")
        for each in found.annotations:
            _check_annotation(each, size)


def _check_annotation(annotation: Mapping[str, Any], size: list[int]) -> None:
    runs, box = annotation["segmentation"], annotation["bbox"]
    counts = uncompressed(runs["counts"])
    expected = {"segmentation": runs, "bbox": box, "iscrowd": 0, "score": annotation["score"]}
    whole = runs["size"] == size and min(counts) >= 0 and sum(counts) == size[0] * size[1]
    boxed = len(box) == 4 and all(type(x) is int for x in box)
    if not whole or not boxed or annotation != expected | {"area": sum(counts[1::2])}:
        raise ValueError("an annotation does not fit its image")


def _annotation(mask: Bool[Ndarray, "H W"], score: float) -> dict[str, Any]:
    return {
        "segmentation": {"size": list(mask.shape), "counts": compressed(mask_to_counts(mask))},
        "bbox": bounding_box(mask),
        "area": int(mask.sum()),
        "iscrowd": 0,
        "score": score,
    }
