"""What a report keeps of an evaluation: scores and small JPEGs, no decoded images."""

import io
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.evaluation import metrics
from cosseg_jax.evaluation.evaluator import ScoredImage, truth_of
from cosseg_jax.predict.drawing import colour_prior, hatched, tinted
from cosseg_jax.types import Ndarray

BOX = (150, 180)  # the largest height and width of a panel; the aspect ratio is kept
PANEL_QUALITY = 80  # of JPEG
PANELS = ("photo", "S", "mask", "truth")


class ReportImage(NamedTuple):
    """One image in one group.

    place: its number on the page, from 1; the page links to it.
    panels: JPEGs, one for each of `PANELS`, all of (height, width) = `size`.
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
    """An image that completes a group but is scored in another one.

    place: its number on the page, in the same category; None if it is not shown.
    """

    name: str
    place: int | None


class ReportGroup(NamedTuple):
    """A group with the images that it counts.

    place: its number on the page, from 1. number: the same among the groups of its category.
    scores: the means over its images by protocol, without undefined ones.
    """

    place: int
    category: str
    number: int
    images: tuple[ReportImage, ...]
    completed_by: tuple[Elsewhere, ...]
    scores: dict[str, metrics.Scores]


Ranked = TypeVar("Ranked", ReportImage, ReportGroup)


def report_image(scored: ScoredImage, place: int) -> ReportImage:
    """Draws and encodes the panels of a scored image."""
    example = scored.example
    truth, void = truth_of(example, scored.group.category), example.void
    size = fitting(truth.shape)
    image = resized(example.image, size)
    panels = (
        image,
        colour_prior(scored.prior, size),
        tinted(image, resized_mask(scored.mask, size)),
        hatched(tinted(image, resized_mask(truth, size)), resized_mask(void, size)),
    )
    return ReportImage(
        place,
        example.name,
        scored.category,
        tuple(_jpeg(panel) for panel in panels),
        size,
        scored.scores,
        has_object=bool((truth & ~void).any()),
    )


def fitting(shape: Sequence[int]) -> tuple[int, int]:
    """The height and width of an image of `shape` scaled to fit into `BOX`."""
    height, width = shape
    scale = min(BOX[0] / height, BOX[1] / width)
    return max(1, round(scale * height)), max(1, round(scale * width))


def best_first(ranked: Sequence[Ranked], protocol: str) -> list[Ranked]:
    """Images or groups that have a J, the highest first; equal ones by place."""
    defined = [(each.scores[protocol].J, each) for each in ranked]
    keyed = [(-J, each.place, each) for J, each in defined if J is not None]
    return [each for _, _, each in sorted(keyed, key=lambda item: item[:2])]


def mean_scores(images: Sequence[ReportImage]) -> dict[str, metrics.Scores]:
    """The means of P and J by protocol, over the images that define them."""
    return {
        protocol: metrics.Scores(
            _defined_mean([image.scores[protocol].P for image in images]),
            _defined_mean([image.scores[protocol].J for image in images]),
        )
        for protocol in images[0].scores
    }


def _defined_mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _jpeg(panel: UInt8[Ndarray, "H W 3"]) -> bytes:
    encoded = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(panel))
    image.save(encoded, format="JPEG", quality=PANEL_QUALITY, optimize=True)
    return encoded.getvalue()
