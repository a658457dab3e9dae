"""What a report keeps of an evaluation: small encoded pictures and figures, no full arrays."""

import io
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cosseg_jax.drawing import colour_prior, hatched, resized, resized_mask, tinted
from cosseg_jax.evaluation import metrics
from cosseg_jax.evaluation.evaluator import ScoredImage, truth_of
from cosseg_jax.types import Ndarray

BOX = (150, 180)  # height and width that a picture fits in, its own aspect kept
QUALITY = 80  # of JPEG
PANELS = ("photograph", "S", "mask", "truth")


class Photo(NamedTuple):
    """One photograph in one group.

    place: its number on the page, from 1 on; names its anchor.
    panels: JPEGs of `PANELS`, all of (height, width) = `size`.
    scores: P and J by protocol.
    has_object: whether the truth shows the object outside void.
    """

    place: int
    name: str
    category: str
    panels: tuple[bytes, ...]
    size: tuple[int, int]
    scores: dict[str, metrics.Scores]
    has_object: bool


class Elsewhere(NamedTuple):
    """A photograph that the network saw with a group, not counted in it.

    place: of the same photograph where it is counted in this category; None if it is nowhere.
    """

    name: str
    place: int | None


class ShownGroup(NamedTuple):
    """A group with the photographs that it counts.

    place: its number on the page, from 1 on; number: among the groups of its category.
    scores: the means of its photographs by protocol, over those that define them.
    """

    place: int
    category: str
    number: int
    photos: tuple[Photo, ...]
    completed_by: tuple[Elsewhere, ...]
    scores: dict[str, metrics.Scores]


Ranked = TypeVar("Ranked", Photo, ShownGroup)


def photo_of(image: ScoredImage, place: int) -> Photo:
    """Draws and encodes what the page shows of a scored photograph."""
    example = image.example
    truth, void = truth_of(example, image.group.category), example.void
    size = fitting(truth.shape)
    photo = resized(example.image, size)
    mask = resized_mask(image.probability > metrics.THRESHOLD, size)
    true = tinted(photo, resized_mask(truth, size))
    panels = (
        photo,
        colour_prior(image.prior, size),
        tinted(photo, mask),
        hatched(true, resized_mask(void, size)),
    )
    return Photo(
        place,
        example.name,
        image.category,
        tuple(_jpeg(panel) for panel in panels),
        size,
        image.scores,
        has_object=bool((truth & ~void).any()),
    )


def fitting(shape: Sequence[int]) -> tuple[int, int]:
    """The height and width of a picture of `shape` that is made to fit in `BOX`."""
    height, width = shape
    scale = min(BOX[0] / height, BOX[1] / width)
    return max(1, round(scale * height)), max(1, round(scale * width))


def best_first(entries: Sequence[Ranked], protocol: str) -> list[Ranked]:
    """Photographs or groups by falling J, those without a J left out; equal ones by place."""
    defined = [(entry.scores[protocol].J, entry) for entry in entries]
    ranked = [(-J, entry.place, entry) for J, entry in defined if J is not None]
    return [entry for _, _, entry in sorted(ranked, key=lambda item: item[:2])]


def mean_scores(photos: Sequence[Photo]) -> dict[str, metrics.Scores]:
    """The means of P and J by protocol, over the photographs that define them."""
    return {
        protocol: metrics.Scores(
            _mean([photo.scores[protocol].P for photo in photos]),
            _mean([photo.scores[protocol].J for photo in photos]),
        )
        for protocol in photos[0].scores
    }


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _jpeg(picture: UInt8[Ndarray, "H W 3"]) -> bytes:
    encoded = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.save(encoded, format="JPEG", quality=QUALITY, optimize=True)
    return encoded.getvalue()
