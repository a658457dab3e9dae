"""Prompts: points, boxes and masks that show the object, or what it is not, in some images."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

Coordinate = int | float
Point = tuple[Coordinate, Coordinate]
POINT_RADIUS = 0.05  # of a point's disc, as a share of the image's longer side
ON_OBJECT, BESIDE_OBJECT = 1, 0  # labels of points


@dataclasses.dataclass(frozen=True, eq=False)
class Prompt:
    """What a user shows of the object in one image of a group. A group may have several prompts.

    image: the index of the image in the group, from 0.
    point: (x, y) on the object, in pixels of the upright image, from its upper left corner. It is
        short for points=[(x, y)].
    points: any number of them.
    labels: for each of `points`, 1 if it is on the object, 0 if it is not; by default all are 1.
    box: (left, top, right, bottom) around the object, in the same pixels.
    mask: True on the object, at the image's own size. It may leave parts of the object out.
    excluded: True on what is not the object, at the same size.
    absent: the object is not in this image at all; then nothing else is given.

    Raises UserError for a prompt that shows nothing or contradicts itself.
    """

    image: int
    point: Point | None = None
    points: Sequence[Point] = ()
    labels: Sequence[int] | None = None
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None
    mask: Bool[Ndarray, "H W"] | None = None
    excluded: Bool[Ndarray, "H W"] | None = None
    absent: bool = False

    def __post_init__(self) -> None:
        labels = [ON_OBJECT] * len(self.points) if self.labels is None else list(self.labels)
        if len(labels) != len(self.points):
            raise UserError(
                f"there are {len(labels)} labels for {len(self.points)} points; give each point one"
            )
        if unknown := [label for label in labels if label not in (ON_OBJECT, BESIDE_OBJECT)]:
            raise UserError(
                f"a point has the label {unknown[0]!r}; give 1 on the object, 0 beside it"
            )
        for point in (*self.positive, *self.negative):
            _check_numbers(point, 2)
        if self.box is not None:
            _check_numbers(self.box, 4)
        masks = self.mask is not None or self.excluded is not None
        given = self.point is not None or len(self.points) or self.box or masks
        if bool(given) == self.absent:
            found = "points, a box or a mask as well as absent" if given else "none"
            raise UserError(
                f"a prompt takes points, a box, a mask or several of them, or absent; found {found}"
            )

    @property
    def positive(self) -> list[Point]:
        """The points on the object."""
        first = [] if self.point is None else [self.point]
        return first + self._labelled(ON_OBJECT)

    @property
    def negative(self) -> list[Point]:
        """The points that are not on the object."""
        return self._labelled(BESIDE_OBJECT)

    @property
    def shows_object(self) -> bool:
        """Whether it says where the object is, not only where it is not."""
        return bool(self.positive) or self.box is not None or self.mask is not None

    def _labelled(self, wanted: int) -> list[Point]:
        labels = [ON_OBJECT] * len(self.points) if self.labels is None else self.labels
        return [point for point, label in zip(self.points, labels, strict=True) if label == wanted]


class Marked(NamedTuple):
    """What prompts show of one image.

    shown: pixels of the object; around it, where only a box is known. Empty if nothing shows it.
    excluded: pixels that do not belong to the object.
    sure: those of `shown` that certainly are on the object: not those of a box alone.
    """

    shown: Bool[Ndarray, "H W"]
    excluded: Bool[Ndarray, "H W"]
    sure: Bool[Ndarray, "H W"]

    @property
    def shows_object(self) -> bool:
        """Whether the prompts say where the object is, not only where it is not."""
        return bool(self.shown.any())


def marked(prompts: Sequence[Prompt], height: int, width: int) -> Marked:
    """What all prompts of one image show of its height x width pixels, together.

    A pixel near a positive and a negative point goes to the nearer one; elsewhere a negative point,
    or a mask of what is not the object, counts more than a box or a mask. A box says nothing of
    what lies outside: the object may be there a second time.

    Raises UserError for a point or box outside the image, for a mask that is empty or of another
    size, and for prompts of one image of which one says that the object is absent.
    """
    for prompt in prompts:
        _check_inside(prompt, height, width)
    if any(prompt.absent for prompt in prompts):
        return _absent(prompts, height, width)
    size, radius = (height, width), max(1.0, POINT_RADIUS * max(height, width))
    near = _distance([p for prompt in prompts for p in prompt.positive], *size)
    far = _distance([p for prompt in prompts for p in prompt.negative], *size)
    beside = (far <= radius) & (far < near)
    sure = (near <= radius) & (near <= far)
    shown = sure.copy()
    for prompt in prompts:
        if prompt.excluded is not None:
            beside |= prompt.excluded & ~sure
    for prompt in prompts:
        if prompt.mask is not None:
            sure |= prompt.mask & ~beside
        if prompt.box is not None and prompt.mask is None and not prompt.positive:
            shown |= _inside(prompt.box, *size) & ~beside
    return Marked(shown | sure, beside & ~sure, sure)


def region(prompt: Prompt, height: int, width: int) -> Bool[Ndarray, "H W"]:
    """The pixels of an image that one prompt shows as the object; raises as `marked` does."""
    return marked([prompt], height, width).shown


def by_image(prompts: Sequence[Prompt]) -> dict[int, list[Prompt]]:
    """The prompts of each image that has any, in the order in which they were given."""
    found: dict[int, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(prompt.image, []).append(prompt)
    return found


def coverage(covered: Bool[Ndarray, "H W"], height: int, width: int) -> Float[Ndarray, "h w"]:
    """The covered share of each of height x width cells, as weights with sum 1.

    A region smaller than a cell gets the whole weight of its cell.
    """
    image = Image.fromarray(covered.astype(np.float32))
    share = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    return share / share.sum()


def draw_prompt(mask: Bool[Ndarray, "H W"], rng: np.random.Generator) -> Prompt:
    """A random prompt, as a user might give it, for the object in a mask that is not empty."""
    kind = rng.choice(("point", "box", "mask"))
    rows, columns = np.nonzero(mask)
    if kind == "point":
        place = rng.integers(len(rows))
        return Prompt(0, point=(columns[place] + 0.5, rows[place] + 0.5))
    if kind == "box":
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return Prompt(0, box=tuple(float(side) for side in box))  # type: ignore[arg-type]
    return Prompt(0, mask=mask)


def _check_numbers(values: Any, count: int) -> None:
    try:
        right = len(values) == count and all(math.isfinite(value) for value in values)
    except (TypeError, OverflowError):
        right = False
    if not right:
        kind = "point" if count == 2 else "box"
        raise UserError(f"a {kind} is {values!r:.80}; expected {count} finite numbers, in pixels")


def _check_inside(prompt: Prompt, height: int, width: int) -> None:
    for x, y in [*prompt.positive, *prompt.negative]:
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(f"point {x:g},{y:g} is outside the photo of {width} x {height}")
    if prompt.box is not None and not _inside(prompt.box, height, width).any():
        left, top, right, bottom = prompt.box
        raise UserError(
            f"box {left:g},{top:g},{right:g},{bottom:g} holds no pixel of the photo of "
            f"{width} x {height}; give left,top,right,bottom"
        )
    for mask in (prompt.mask, prompt.excluded):
        if mask is not None and mask.shape != (height, width):
            found = " x ".join(str(side) for side in reversed(mask.shape))
            raise UserError(f"the prompt's mask is {found}, the photo {width} x {height}")
        if mask is not None and not mask.any():
            raise UserError("the prompt's mask is empty; draw something in it")


def _absent(prompts: Sequence[Prompt], height: int, width: int) -> Marked:
    if not all(prompt.absent for prompt in prompts):
        raise UserError(
            f"the prompts of image {prompts[0].image} show the object and say that it is absent; "
            "give one or the other"
        )
    nothing = np.zeros((height, width), bool)
    return Marked(nothing, ~nothing, nothing)


def _distance(points: Sequence[Point], height: int, width: int) -> Float[Ndarray, "H W"]:
    """From each pixel's centre to the nearest of the points; infinite without any."""
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    nearest = np.full((height, width), np.inf, np.float32)
    for x, y in points:
        np.minimum(nearest, np.hypot(rows - y, columns - x), out=nearest)
    return nearest


def _inside(
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate], height: int, width: int
) -> Bool[Ndarray, "H W"]:
    left, top, right, bottom = box
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    return (rows > top) & (rows < bottom) & (columns > left) & (columns < right)
