"""The built-in data set: cluttered images of simple objects, drawn from (seed, index).

A category is an outline (disc, square, triangle, star) with a symbol on it (dot, pair, bar, cross):
sixteen in all. Twelve are for training; the other four are new combinations of known parts and are
for evaluation only. Colour, texture, pose, size and occlusion do not depend on the category.

Every image holds several objects of different categories, all drawn from one distribution, so that
nothing within an image tells the object from its distractors: only what a group shares does.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from cosseg_jax.data.source import members_of
from cosseg_jax.errors import UserError
from cosseg_jax.types import Example, Ndarray

OUTLINES = ("disc", "square", "triangle", "star")
SYMBOLS = ("dot", "pair", "bar", "cross")
SHAPES = tuple(f"{outline}-{symbol}" for outline in OUTLINES for symbol in SYMBOLS)
UNSEEN = ("disc-dot", "square-pair", "triangle-bar", "star-cross")
SEEN = tuple(name for name in SHAPES if name not in UNSEEN)

# name: (images, seed, categories of the split)
SHAPE_SPLITS = {"train": (12_000, 0, SEEN), "val": (240, 1, SEEN), "unseen": (240, 2, UNSEEN)}

RIM, SYMBOL = 0.05, 0.97  # every object has a dark rim and a bright symbol


class ShapeObject(NamedTuple):
    """One object of an image: what it is and where it is; lengths in image heights."""

    category: int
    centre: tuple[float, float]
    radius: float


class Shapes:
    """The built-in data set as a `Source`; images are drawn when they are read.

    Args:
        split: "train" and "val" hold the twelve seen categories; in "unseen" every image holds one
            of the four unseen ones, and its distractors come from all sixteen.
        seed: changes every image; each split has random numbers of its own.
        size: height and width of the images in pixels.
        objects: number of objects in an image, all of different categories.

    Raises:
        UserError: for an unknown split, a size below 16 or a count outside 1..8.
    """

    name = "shapes"

    def __init__(self, split: str, *, seed: int = 0, size: int = 96, objects: int = 4):
        if split not in SHAPE_SPLITS:
            raise UserError(
                f"shapes has no split {split!r}; choose one of {', '.join(SHAPE_SPLITS)}"
            )
        if size < 16:
            raise UserError(f"size is {size}; the images of shapes need at least 16 pixels")
        if not 1 <= objects <= 8:
            raise UserError(f"objects is {objects}; an image of shapes holds 1 to 8")
        self.length, stream, asked = SHAPE_SPLITS[split]
        self.split, self.size, self.objects = split, size, objects
        self.seed = (seed, stream)
        self.asked = tuple(SHAPES.index(name) for name in asked)
        self.drawn = tuple(range(len(SHAPES))) if split == "unseen" else self.asked
        self.categories = tuple(asked)
        self.names = tuple(f"{split}_{index:05d}" for index in range(self.length))

    def __len__(self) -> int:
        return self.length

    @cached_property
    def members(self) -> list[np.ndarray]:
        """For each category, the images that hold it (known without drawing them)."""
        held = [self._categories_of(index) for index in range(self.length)]
        return members_of(
            [[self.asked.index(c) for c in row if c in self.asked] for row in held],
            len(self.categories),
        )

    def __getitem__(self, index: int) -> Example:
        rng = self._generator(index)
        shapes = _arrange(rng, self._draw_categories(rng, index))
        image, owner = _paint(rng, shapes, self.size)
        order = sorted(
            (self.asked.index(shape.category), position)
            for position, shape in enumerate(shapes)
            if shape.category in self.asked
        )
        return Example(
            image=image,
            masks=np.stack([owner == position for _, position in order]),  # [K, H, W]
            void=np.zeros((self.size, self.size), bool),
            categories=np.asarray([category for category, _ in order]),
            name=self.names[index],
        )

    def _generator(self, index: int) -> np.random.Generator:
        if not 0 <= index < self.length:
            raise IndexError(f"shapes/{self.split} has {self.length} images, not index {index}")
        return np.random.default_rng((*self.seed, index))

    def _categories_of(self, index: int) -> list[int]:
        return self._draw_categories(self._generator(index), index)

    def _draw_categories(self, rng: np.random.Generator, index: int) -> list[int]:
        """The first category takes turns, so that all are equally frequent; others are drawn."""
        first = self.asked[index % len(self.asked)]
        others = [category for category in self.drawn if category != first]
        return [first, *rng.choice(others, self.objects - 1, replace=False).tolist()]


def _arrange(rng: np.random.Generator, categories: list[int]) -> list[ShapeObject]:
    """Places the objects apart where that is possible; those that still overlap occlude others."""
    shapes: list[ShapeObject] = []
    for category in rng.permutation(categories):
        radius = rng.uniform(0.17, 0.23)
        spots = rng.uniform(0.8 * radius, 1 - 0.8 * radius, (24, 2))
        clearance = [
            min((np.hypot(*(spot - shape.centre)) - shape.radius for shape in shapes), default=1.0)
            for spot in spots
        ]
        clear_enough = np.flatnonzero(np.asarray(clearance) > 0.9 * radius)
        best = clear_enough[0] if clear_enough.size else int(np.argmax(clearance))
        shapes.append(
            ShapeObject(int(category), (float(spots[best, 0]), float(spots[best, 1])), radius)
        )
    return shapes


class Window(NamedTuple):
    """A rectangle of the image, with the coordinates of its pixels in image heights."""

    place: tuple[slice, slice]
    x: Float[Ndarray, "1 W"]
    y: Float[Ndarray, "H 1"]


def _window_around(size: int, centre: tuple[float, float], reach: float) -> Window:
    """The pixels within `reach` of the centre: no others are touched by a drawing of that size."""
    bounds = [
        (max(0, int((middle - reach) * size)), min(size, int((middle + reach) * size) + 2))
        for middle in centre
    ]
    ticks = [(np.arange(*bound, dtype=np.float32) + 0.5) / size for bound in bounds]
    place = (slice(*bounds[0]), slice(*bounds[1]))
    return Window(place, ticks[1][None, :], ticks[0][:, None])


def _paint(
    rng: np.random.Generator, shapes: list[ShapeObject], size: int
) -> tuple[UInt8[Ndarray, "H W 3"], Int[Ndarray, "H W"]]:
    """Paints background, objects and occluders; also returns each pixel's object, or -1."""
    canvas = _texture(rng, size)
    owner = np.full((size, size), -1)
    for _ in range(rng.integers(6, 12)):  # clutter behind the objects
        _draw_streak(rng, canvas)
    for position, shape in enumerate(shapes):
        window = _window_around(size, shape.centre, 1.5 * shape.radius)
        body, inner, symbol = _silhouette(rng, shape, window)
        surface = 0.3 * _texture(rng, size, window.place) + 0.7 * _colour(rng)[None, None]
        canvas[window.place][body] = RIM
        canvas[window.place][inner] = surface[inner]
        canvas[window.place][symbol & inner] = SYMBOL
        owner[window.place][body] = position
    for _ in range(rng.integers(1, 4)):  # clutter in front of them
        place, streak = _draw_streak(rng, canvas)
        owner[place][streak] = -1
    canvas += 0.03 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return (255 * np.clip(canvas, 0, 1)).round().astype(np.uint8), owner


def _silhouette(
    rng: np.random.Generator, shape: ShapeObject, window: Window
) -> tuple[Bool[Ndarray, "H W"], Bool[Ndarray, "H W"], Bool[Ndarray, "H W"]]:
    """The object, its part within the rim, and its symbol, in a random pose."""
    angle = rng.uniform(-np.pi / 6, np.pi / 6)
    stretch, shear = rng.uniform(0.85, 1.18), rng.uniform(-0.15, 0.15)
    dx = (window.x - shape.centre[1]) / shape.radius
    dy = (window.y - shape.centre[0]) / shape.radius
    u = (np.cos(angle) * dx + np.sin(angle) * dy) * stretch + shear * dy
    v = (-np.sin(angle) * dx + np.cos(angle) * dy) / stretch
    outline, symbol = divmod(shape.category, len(SYMBOLS))
    inside = _OUTLINE_TESTS[OUTLINES[outline]]
    return inside(u, v), inside(u / 0.84, v / 0.84), _SYMBOL_TESTS[SYMBOLS[symbol]](u, v)


def _inside_star(u: Ndarray, v: Ndarray) -> Ndarray:
    """A five-pointed star of radius 1.2, whose edge goes from tip to notch in ten equal angles."""
    turn = np.abs((np.arctan2(u, -v) / (2 * np.pi / 5) + 0.5) % 1 - 0.5) * 2  # 0 tip, 1 notch
    return np.hypot(u, v) < 1.2 - 0.65 * turn


_OUTLINE_TESTS = {
    "disc": lambda u, v: u**2 + v**2 < 0.9,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.82,
    "triangle": lambda u, v: (v < 0.6) & (v > 1.85 * abs(u) - 1.25),
    "star": _inside_star,
}
_SYMBOL_TESTS = {
    "dot": lambda u, v: u**2 + v**2 < 0.33**2,
    "pair": lambda u, v: (abs(u) - 0.32) ** 2 + v**2 < 0.21**2,
    "bar": lambda u, v: (abs(u) < 0.15) & (abs(v) < 0.55),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.13) & (np.maximum(abs(u), abs(v)) < 0.5),
}


def _draw_streak(
    rng: np.random.Generator, canvas: Float[Ndarray, "H W 3"]
) -> tuple[tuple[slice, slice], Bool[Ndarray, "h w"]]:
    """Draws a straight strip of random place, direction, length, width and colour."""
    angle, length, width = rng.uniform(0, np.pi), rng.uniform(0.1, 0.4), rng.uniform(0.008, 0.025)
    centre = (rng.uniform(), rng.uniform())
    window = _window_around(len(canvas), centre, length + width)
    dx, dy = window.x - centre[1], window.y - centre[0]
    along = np.cos(angle) * dx + np.sin(angle) * dy
    across = -np.sin(angle) * dx + np.cos(angle) * dy
    streak = (abs(along) < length) & (abs(across) < width)
    canvas[window.place][streak] = _colour(rng)
    return window.place, streak


def _texture(
    rng: np.random.Generator, size: int, place: tuple[slice, slice] = (slice(None), slice(None))
) -> Float[Ndarray, "h w 3"]:
    """Smooth coloured noise, at `place`: a coarse random grid, stretched over the image."""
    cells = int(rng.integers(2, 9))
    grid = rng.uniform(0.2, 0.8, (cells + 1, cells + 1, 3)).astype(np.float32)
    position = np.linspace(0, cells, size, endpoint=False, dtype=np.float32)
    down, right = position[place[0]], position[place[1]]
    top, left = down.astype(int), right.astype(int)
    part = (down - top).astype(np.float32)[:, None, None]
    rows = grid[top] * (1 - part) + grid[top + 1] * part  # [h, cells+1, 3]
    part = (right - left).astype(np.float32)[None, :, None]
    return rows[:, left] * (1 - part) + rows[:, left + 1] * part


def _colour(rng: np.random.Generator) -> Float[Ndarray, " 3"]:
    return rng.uniform(0.2, 0.8, 3).astype(np.float32)
