"""The user's mark in one photograph of a group: a point, a box or a mask of the object."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from cosseg_jax.types import Ndarray

Number = int | float
POINT_RADIUS = 0.05  # of a point's disc, as a share of the photograph's longer side


@dataclasses.dataclass(frozen=True, eq=False)
class Prompt:
    """Marks the object in one photograph; give exactly one of point, box and mask.

    image: which photograph of the group, from 0.
    point: (x, y), in pixels of the upright photograph, from its upper left corner.
    box: (left, top, right, bottom), likewise.
    mask: of the photograph's own size, True on the object.
    """

    image: int
    point: tuple[Number, Number] | None = None
    box: tuple[Number, Number, Number, Number] | None = None
    mask: Bool[Ndarray, "H W"] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("point", "box", "mask") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"a prompt takes one of point, box and mask; found {found}")


def region(prompt: Prompt, height: int, width: int) -> Bool[Ndarray, "H W"]:
    """The marked pixels of the photograph, of height x width pixels; at least one.

    Raises:
        ValueError: for a mark outside the photograph, an empty one, or a mask of another size.
    """
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    if prompt.point is not None:
        x, y = prompt.point
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f"point {x:g},{y:g} is outside the photograph of {width} x {height}")
        radius = max(1.0, POINT_RADIUS * max(height, width))
        return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    if prompt.box is not None:
        left, top, right, bottom = prompt.box
        marked = (rows > top) & (rows < bottom) & (columns > left) & (columns < right)
        if not marked.any():
            raise ValueError(
                f"box {left:g},{top:g},{right:g},{bottom:g} holds no pixel of the photograph of "
                f"{width} x {height}; give left,top,right,bottom"
            )
        return marked
    assert prompt.mask is not None
    if prompt.mask.shape != (height, width):
        found = " x ".join(str(side) for side in reversed(prompt.mask.shape))
        raise ValueError(f"the prompt's mask is {found}, the photograph {width} x {height}")
    if not prompt.mask.any():
        raise ValueError("the prompt's mask is empty; mark the object in it")
    return prompt.mask


def coverage(marked: Bool[Ndarray, "H W"], height: int, width: int) -> Float[Ndarray, "h w"]:
    """The share of each of height x width cells that is marked, 0..1, as weights of sum 1.

    Raises nothing: where the mark is smaller than a cell, its cell has a small weight, scaled up.
    """
    picture = Image.fromarray(marked.astype(np.float32))
    share = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    return share / share.sum()


def drawn_prompt(mask: Bool[Ndarray, "H W"], rng: np.random.Generator) -> Prompt:
    """A prompt such as a user might give for an object, which must not be empty: for training."""
    kind = rng.choice(("point", "box", "mask"))
    rows, columns = np.nonzero(mask)
    if kind == "point":
        place = rng.integers(len(rows))
        return Prompt(0, point=(columns[place] + 0.5, rows[place] + 0.5))
    if kind == "box":
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        return Prompt(0, box=tuple(float(side) for side in box))  # type: ignore[arg-type]
    return Prompt(0, mask=mask)
