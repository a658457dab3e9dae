"""The built-in data set: cluttered pictures of simple objects, drawn from (seed, index).

A category is an outline (disc, square, triangle, star) with a mark on it (dot, pair, bar, cross):
sixteen in all. Twelve are for training; the other four are new combinations of known parts and are
for evaluation only. Colour, texture, pose, size and occlusion say nothing of the category.

Every picture holds several objects of different categories, drawn alike from one distribution, so
that within a picture nothing tells the object from its distractors: only what a group shares does.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from cosseg_jax.data.source import members_of
from cosseg_jax.types import Example, Ndarray

OUTLINES = ("disc", "square", "triangle", "star")
MARKS = ("dot", "pair", "bar", "cross")
CATEGORIES = tuple(f"{outline}-{mark}" for outline in OUTLINES for mark in MARKS)
UNSEEN = ("disc-dot", "square-pair", "triangle-bar", "star-cross")
SEEN = tuple(name for name in CATEGORIES if name not in UNSEEN)

# name: (pictures, seed, categories that may be asked for)
SPLITS = {"train": (12_000, 0, SEEN), "val": (240, 1, SEEN), "unseen": (240, 2, UNSEEN)}

RIM, MARK = 0.05, 0.97  # every object has a dark rim and a bright mark


class Thing(NamedTuple):
    """One object of a picture: what it is and where it stands, lengths in picture heights."""

    category: int
    centre: tuple[float, float]
    radius: float


class Shapes:
    """The built-in data set as a `Source`; pictures are drawn when asked for.

    Args:
        split: "train" and "val" hold the twelve seen categories; in "unseen" every picture holds
            one of the four unseen ones, its distractors coming from all sixteen.
        seed: shifts every picture; the split has a stream of its own.
        size: height and width of the pictures in pixels.
        objects: objects in a picture, all of different categories.

    Raises:
        ValueError: for an unknown split, a size below 16 or a count outside 1..8.
    """

    name = "shapes"

    def __init__(self, split: str, *, seed: int = 0, size: int = 96, objects: int = 4):
        if split not in SPLITS:
            raise ValueError(f"shapes has no split {split!r}; choose one of {', '.join(SPLITS)}")
        if size < 16:
            raise ValueError(f"size is {size}; the pictures of shapes need at least 16 pixels")
        if not 1 <= objects <= 8:
            raise ValueError(f"objects is {objects}; a picture of shapes holds 1 to 8")
        self.length, stream, asked = SPLITS[split]
        self.split, self.size, self.objects = split, size, objects
        self.seed = (seed, stream)
        self.asked = tuple(CATEGORIES.index(name) for name in asked)
        self.drawn = tuple(range(len(CATEGORIES))) if split == "unseen" else self.asked
        self.categories = tuple(asked)
        self.names = tuple(f"{split}_{index:05d}" for index in range(self.length))

    def __len__(self) -> int:
        return self.length

    @cached_property
    def members(self) -> list[np.ndarray]:
        """For each category, the pictures that hold it (known without drawing them)."""
        held = [self._categories_of(index) for index in range(self.length)]
        return members_of(
            [[self.asked.index(c) for c in row if c in self.asked] for row in held],
            len(self.categories),
        )

    def __getitem__(self, index: int) -> Example:
        rng = self._generator(index)
        things = _arrange(rng, self._draw_categories(rng, index))
        image, owner = _paint(rng, things, self.size)
        order = sorted(
            (self.asked.index(thing.category), position)
            for position, thing in enumerate(things)
            if thing.category in self.asked
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
            raise IndexError(f"shapes/{self.split} has {self.length} pictures, not index {index}")
        return np.random.default_rng((*self.seed, index))

    def _categories_of(self, index: int) -> list[int]:
        return self._draw_categories(self._generator(index), index)

    def _draw_categories(self, rng: np.random.Generator, index: int) -> list[int]:
        """The first category goes round, so that all are equally frequent; the rest are drawn."""
        first = self.asked[index % len(self.asked)]
        others = [category for category in self.drawn if category != first]
        return [first, *rng.choice(others, self.objects - 1, replace=False).tolist()]


def _arrange(rng: np.random.Generator, categories: list[int]) -> list[Thing]:
    """Places the objects apart where that can be had; what still overlaps is an occlusion."""
    things: list[Thing] = []
    for category in rng.permutation(categories):
        radius = rng.uniform(0.17, 0.23)
        spots = rng.uniform(0.8 * radius, 1 - 0.8 * radius, (24, 2))
        clearance = [
            min((np.hypot(*(spot - thing.centre)) - thing.radius for thing in things), default=1.0)
            for spot in spots
        ]
        clear_enough = np.flatnonzero(np.asarray(clearance) > 0.9 * radius)
        best = clear_enough[0] if clear_enough.size else int(np.argmax(clearance))
        things.append(Thing(int(category), (float(spots[best, 0]), float(spots[best, 1])), radius))
    return things


class Window(NamedTuple):
    """A rectangle of the picture, with the coordinates of its pixels in picture heights."""

    place: tuple[slice, slice]
    x: Float[Ndarray, "1 W"]
    y: Float[Ndarray, "H 1"]


def _window(size: int, centre: tuple[float, float], reach: float) -> Window:
    """The pixels within `reach` of the centre: all that a drawing of that reach can touch."""
    bounds = [
        (max(0, int((middle - reach) * size)), min(size, int((middle + reach) * size) + 2))
        for middle in centre
    ]
    ticks = [(np.arange(*bound, dtype=np.float32) + 0.5) / size for bound in bounds]
    place = (slice(*bounds[0]), slice(*bounds[1]))
    return Window(place, ticks[1][None, :], ticks[0][:, None])


def _paint(
    rng: np.random.Generator, things: list[Thing], size: int
) -> tuple[UInt8[Ndarray, "H W 3"], Int[Ndarray, "H W"]]:
    """Paints background, objects and occluders; also says which object owns each pixel, or -1."""
    canvas = _texture(rng, size)
    owner = np.full((size, size), -1)
    for _ in range(rng.integers(6, 12)):  # clutter behind the objects
        _draw_streak(rng, canvas)
    for position, thing in enumerate(things):
        window = _window(size, thing.centre, 1.5 * thing.radius)
        body, inner, mark = _silhouette(rng, thing, window)
        surface = 0.3 * _texture(rng, size, window.place) + 0.7 * _colour(rng)[None, None]
        canvas[window.place][body] = RIM
        canvas[window.place][inner] = surface[inner]
        canvas[window.place][mark & inner] = MARK
        owner[window.place][body] = position
    for _ in range(rng.integers(1, 4)):  # clutter in front of them
        place, streak = _draw_streak(rng, canvas)
        owner[place][streak] = -1
    canvas += 0.03 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return (255 * np.clip(canvas, 0, 1)).round().astype(np.uint8), owner


def _silhouette(
    rng: np.random.Generator, thing: Thing, window: Window
) -> tuple[Bool[Ndarray, "H W"], Bool[Ndarray, "H W"], Bool[Ndarray, "H W"]]:
    """The object, its part within the rim, and its mark, in a pose of its own."""
    angle = rng.uniform(-np.pi / 6, np.pi / 6)
    stretch, shear = rng.uniform(0.85, 1.18), rng.uniform(-0.15, 0.15)
    dx = (window.x - thing.centre[1]) / thing.radius
    dy = (window.y - thing.centre[0]) / thing.radius
    u = (np.cos(angle) * dx + np.sin(angle) * dy) * stretch + shear * dy
    v = (-np.sin(angle) * dx + np.cos(angle) * dy) / stretch
    outline, mark = divmod(thing.category, len(MARKS))
    inside = _OUTLINE_TESTS[OUTLINES[outline]]
    return inside(u, v), inside(u / 0.84, v / 0.84), _MARK_TESTS[MARKS[mark]](u, v)


def _inside_star(u: Ndarray, v: Ndarray) -> Ndarray:
    """A five-pointed star of radius 1.2: its edge runs from tip to notch in ten equal angles."""
    turn = np.abs((np.arctan2(u, -v) / (2 * np.pi / 5) + 0.5) % 1 - 0.5) * 2  # 0 tip, 1 notch
    return np.hypot(u, v) < 1.2 - 0.65 * turn


_OUTLINE_TESTS = {
    "disc": lambda u, v: u**2 + v**2 < 0.9,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.82,
    "triangle": lambda u, v: (v < 0.6) & (v > 1.85 * abs(u) - 1.25),
    "star": _inside_star,
}
_MARK_TESTS = {
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
    window = _window(len(canvas), centre, length + width)
    dx, dy = window.x - centre[1], window.y - centre[0]
    along = np.cos(angle) * dx + np.sin(angle) * dy
    across = -np.sin(angle) * dx + np.cos(angle) * dy
    streak = (abs(along) < length) & (abs(across) < width)
    canvas[window.place][streak] = _colour(rng)
    return window.place, streak


def _texture(
    rng: np.random.Generator, size: int, place: tuple[slice, slice] = (slice(None), slice(None))
) -> Float[Ndarray, "h w 3"]:
    """Smooth coloured noise: a coarse random grid, stretched over the picture; a part of it."""
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
