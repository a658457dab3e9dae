"""Prompts of SAM as arrays of fixed shapes.

A prompt is a number of points, of which two may be the corners of a box, and perhaps a mask. As
compiled programs want fixed shapes, a prompt of fewer points is filled up with places that nothing
attends to: it gives what it gives alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

POSITIVE, NEGATIVE = 1, 0
UPPER_LEFT, LOWER_RIGHT = 2, 3  # corners of a box
NO_POINT = -1  # SAM's own padding, which its attention sees: one where a prompt has no box
ABSENT = -2  # ours, which nothing sees

Points = Sequence[Sequence[float | int]] | np.ndarray  # (x, y) of each


class Prompts(NamedTuple):
    """P prompts for each of B images.

    points: (x, y) in pixels of the encoder's input (`frame.to_frame`), the upper left pixel's
        centre at 0.
    labels: POSITIVE, NEGATIVE, UPPER_LEFT, LOWER_RIGHT, NO_POINT or ABSENT for each point.
    masks: logits at stride 4 of the encoder's input, as the decoder gives them; or None.
    has_mask: False for prompts whose mask is to be left alone; None for none of them.
    """

    points: Float[Array | Ndarray, "B P T 2"]
    labels: Int[Array | Ndarray, "B P T"]
    masks: Float[Array | Ndarray, "B P h4 w4"] | None = None
    has_mask: Bool[Array | Ndarray, "B P"] | None = None


class PromptPoints(NamedTuple):
    """The T points of one prompt, or of P prompts, with their labels."""

    points: Float[Ndarray, "*P T 2"]
    labels: Int[Ndarray, "*P T"]


def prompt_of(
    positive: Points = (),
    negative: Points = (),
    box: Sequence[float | int] | np.ndarray | None = None,
) -> PromptPoints:
    """The points that SAM's own predictor makes of these; none for a prompt of a mask alone.

    positive, negative: (x, y) of points on the object and beside it.
    box: left, top, right, bottom.
    Raises UserError for points that are not pairs and a box that is not four numbers.
    """
    corners = _pairs("box", [] if box is None else np.reshape(np.asarray(box), (-1, 2)))
    if box is not None and len(corners) != 2:
        raise UserError(f"box is {box!r}; give left, top, right, bottom")
    parts = {POSITIVE: _pairs("positive", positive), NEGATIVE: _pairs("negative", negative)}
    labels = [label for label, points in parts.items() for _ in points]
    ends = [UPPER_LEFT, LOWER_RIGHT] if box is not None else []
    if labels and box is None:
        corners, ends = np.zeros((1, 2), np.float32), [NO_POINT]
    points = np.concatenate([*parts.values(), corners])  # [T, 2]
    return PromptPoints(points, np.asarray([*labels, *ends], np.int32))


def stack(prompts: Sequence[PromptPoints], num_points: int | None = None) -> PromptPoints:
    """Prompts of one image as arrays of P x `num_points`, filled up with absent points.

    num_points: by default as many as the longest has, and one at least.
    Raises UserError where a prompt has more.
    """
    most = max((len(prompt.labels) for prompt in prompts), default=0)
    size = max(most, 1) if num_points is None else num_points
    if most > size:
        raise UserError(f"a prompt of {most} points (corners of its box count), of {size} at most")
    points = np.zeros((len(prompts), size, 2), np.float32)
    labels = np.full((len(prompts), size), ABSENT, np.int32)
    for index, prompt in enumerate(prompts):
        points[index, : len(prompt.labels)] = prompt.points
        labels[index, : len(prompt.labels)] = prompt.labels
    return PromptPoints(points, labels)


def _pairs(name: str, points: Points) -> Float[Ndarray, "T 2"]:
    array = np.asarray(points, np.float32)
    if array.size == 0:
        return np.zeros((0, 2), np.float32)
    if array.ndim != 2 or array.shape[1] != 2:
        raise UserError(f"{name} has the shape {array.shape}; give pairs (x, y)")
    return array
