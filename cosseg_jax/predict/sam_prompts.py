"""Prompts for SAM's decoder, made from a probability map: one for each connected part of its mask.

Coordinates here are shares of the image's sides, so that they hold at every resolution.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, find_objects, label

from cosseg_jax.models.sam.frame import Frame
from cosseg_jax.models.sam.prompts import Points, PromptPoints, prompt_of
from cosseg_jax.types import Ndarray

MIN_AREA = 0.002  # of the image; smaller parts are not refined
MOST_PARTS = 8  # that are refined, the largest ones
INNER_POINTS = 3  # in each part; negative points beside them lowered J (docs/edges.md)
NUM_POINTS = INNER_POINTS + 2  # with a box's corners
CERTAIN = 1e-3  # probabilities are clipped to this and 1 minus this before they become logits


class Part(NamedTuple):
    """A connected part of a mask.

    region: its pixels.
    inner: (x, y) of the points deepest inside it.
    box: left, top, right, bottom.
    """

    region: Bool[Ndarray, "S S"]
    inner: Float[Ndarray, "n 2"]
    box: Float[Ndarray, "4"]


def parts_of(mask: Bool[Ndarray, "S S"]) -> list[Part]:
    """The connected parts of a mask that are large enough to be refined, largest first."""
    labels, _ = label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    order = [k for k in np.argsort(-areas, kind="stable") if areas[k] >= MIN_AREA * mask.size]
    boxes = find_objects(labels)
    return [_part(labels == k, boxes[k - 1]) for k in order[:MOST_PARTS]]


def prompt_for(part: Part, frame: Frame, negative: Points = ()) -> PromptPoints:
    """The prompt of a part: its box and points inside it, in pixels of the encoder's input.

    negative: (x, y) of a user's points beside the object, in the same pixels.
    """
    corners = in_frame(part.box.reshape(2, 2), frame)
    return prompt_of(in_frame(part.inner, frame), negative, corners.ravel())


def mask_logits(part: Part, probability: Float[Ndarray, "S S"]) -> Float[Ndarray, "S S"]:
    """The probability as logits, for the decoder's mask input; other parts are negative."""
    value = np.clip(probability, CERTAIN, 1 - CERTAIN)
    logits = np.log(value / (1 - value))
    other = (logits > 0) & ~part.region
    return np.where(other, -logits, logits).astype(np.float32)


def inner_points(region: Bool[Ndarray, "S S"], count: int) -> np.ndarray:
    """(x, y) in pixels of the deepest points of a region, apart from each other; [<= count, 2]."""
    distance = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]  # the border ends a region
    rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
    points = []
    for _ in range(count):
        row, column = np.unravel_index(int(distance.argmax()), distance.shape)
        deepest = distance[row, column]
        if deepest <= 0:
            break
        points.append((column, row))
        near = (rows - row) ** 2 + (columns - column) ** 2 < (1.5 * deepest) ** 2
        distance = np.where(near, 0, distance)
    return np.reshape(points, (-1, 2))


def in_frame(points: Float[Ndarray, "n 2"], frame: Frame) -> Float[Ndarray, "n 2"]:
    """Points given as shares of the image's sides, in pixels of the encoder's input."""
    return np.asarray(points * np.asarray(frame.scaled[::-1]) - 0.5, np.float32)


def _part(region: Bool[Ndarray, "S S"], box: tuple[slice, slice]) -> Part:
    sides = np.asarray(region.shape[::-1])
    rows, columns = box
    corners = np.asarray([[columns.start, rows.start], [columns.stop, rows.stop]])
    inner = (inner_points(region, INNER_POINTS) + 0.5) / sides
    return Part(region, inner, (corners / sides).ravel())
