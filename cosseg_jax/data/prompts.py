"""Prompts: a point, a box or a mask that shows the object in one image of a group."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

Coordinate = int | float
POINT_RADIUS = 0.05  # of a point's disc, as a share of the image's longer side


@dataclasses.dataclass(frozen=True, eq=False)
class Prompt:
    """Shows the object in one image of a group, by a point, a box or a mask.

    image: the index of the image in the group, from 0.
    point: (x, y) in pixels of the upright image, from its upper left corner.
    box: (left, top, right, bottom), in the same pixels.
    mask: True on the object, at the image's own size.

    Raises UserError unless exactly one of point, box and mask is given.
    """

    image: int
    point: tuple[Coordinate, Coordinate] | None = None
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None
    mask: Bool[Ndarray, "H W"] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("point", "box", "mask") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise UserError(f"a prompt takes one of point, box and mask; found {found}")


def region(prompt: Prompt, height: int, width: int) -> Bool[Ndarray, "H W"]:
    """The pixels that a prompt covers in an image of height x width pixels; at least one.

    Raises UserError for a point or box outside the image and for a mask that is empty or of
    another size.
    """
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    if prompt.point is not None:
        x, y = prompt.point
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(f"point {x:g},{y:g} is outside the photo of {width} x {height}")
        radius = max(1.0, POINT_RADIUS * max(height, width))
        return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    if prompt.box is not None:
        left, top, right, bottom = prompt.box
        inside = (rows > top) & (rows < bottom) & (columns > left) & (columns < right)
        if not inside.any():
            raise UserError(
                f"box {left:g},{top:g},{right:g},{bottom:g} holds no pixel of the photo of "
                f"{width} x {height}; give left,top,right,bottom"
            )
        return inside
    assert prompt.mask is not None
    if prompt.mask.shape != (height, width):
        found = " x ".join(str(side) for side in reversed(prompt.mask.shape))
        raise UserError(f"the prompt's mask is {found}, the photo {width} x {height}")
    if not prompt.mask.any():
        raise UserError("the prompt's mask is empty; draw the object in it")
    return prompt.mask


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
