"""Drawn images of meadows: groups to try the network with that may be redistributed freely.

A group shares an aeroplane or a car. Beside it stand a tree, a house, a bus, or the object of the
other group. The shipped network learned from photos; soft textures and soft outlines make
these drawings similar enough for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SCENE_WIDTH, SCENE_HEIGHT = 480, 360
SCALE = 3  # scenes are drawn this many times larger, then shrunk, so that outlines are soft
SHADOW = (62, 96, 42)

Length = int | float  # in pixels
ScenePoint = tuple[Length, Length]


class Scene(NamedTuple):
    """The contents of a drawn image.

    objects: keys of OBJECTS with positions in pixels, from the farthest object to the nearest. The
        position is that of the feet or wheels, or of the middle of what flies.
    horizon: its distance from the top, as a share of the height.
    """

    objects: Sequence[tuple[str, ScenePoint]]
    horizon: Length = 0.42


DRAWN_GROUPS = {
    "aeroplane": (
        Scene([("tree", (400, 260)), ("aeroplane", (200, 100))], 0.6),
        Scene([("aeroplane", (340, 80)), ("bus", (190, 300))], 0.55),
        Scene([("house", (90, 260)), ("aeroplane", (280, 110))], 0.6),
        Scene([("aeroplane", (150, 60)), ("aeroplane", (330, 130))], 0.6),
        Scene([("aeroplane", (210, 90)), ("car", (330, 300))], 0.6),
        Scene([("house", (150, 230)), ("tree", (360, 260))], 0.5),
    ),
    "car": (
        Scene([("tree", (400, 225)), ("car", (200, 280))]),
        Scene([("aeroplane", (340, 80)), ("car", (190, 290))], 0.5),
        Scene([("house", (90, 200)), ("car", (300, 290))]),
        Scene([("bus", (120, 230)), ("car", (300, 310))]),
        Scene([("car", (120, 250)), ("car", (320, 310))]),
    ),
}


class Pen:
    """Draws on an enlarged canvas with coordinates in pixels of the final image."""

    def __init__(self, image: Image.Image):
        self._draw = ImageDraw.Draw(image)

    def oval(self, x: Length, y: Length, across: Length, down: Length, colour: tuple) -> None:
        """Draws an ellipse around its centre."""
        box = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
        self._draw.ellipse([SCALE * side for side in box], fill=colour)

    def shape(self, points: Sequence[ScenePoint], colour: tuple) -> None:
        """Draws a polygon."""
        self._draw.polygon([(SCALE * x, SCALE * y) for x, y in points], fill=colour)

    def box(self, left: Length, top: Length, across: Length, down: Length, colour: tuple) -> None:
        """Draws an upright rectangle."""
        right, bottom = left + across, top + down
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour)


DrawObject = Callable[[Pen, np.random.Generator, Length, Length], None]  # at a position


def drawn_image(group: str, number: int) -> Image.Image:
    """Image `number`, from 0, of a group, a key of DRAWN_GROUPS; it is always the same."""
    return drawn_scene(DRAWN_GROUPS[group][number], number)


def drawn_scene(scene: Scene, seed: int, objects: Mapping[str, DrawObject] = {}) -> Image.Image:
    """An image of a scene, the same for the same seed; `objects` adds drawings to OBJECTS."""
    rng = np.random.default_rng(seed)
    image = _ground(rng, scene.horizon)
    pen = Pen(image)
    for kind, position in scene.objects:
        {**OBJECTS, **objects}[kind](pen, rng, *position)
    image = image.filter(ImageFilter.GaussianBlur(SCALE / 2))
    image = image.resize((SCENE_WIDTH, SCENE_HEIGHT), Image.Resampling.BOX)
    grain = rng.normal(0, 2, (SCENE_HEIGHT, SCENE_WIDTH, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _ground(rng: np.random.Generator, horizon: Length) -> Image.Image:
    """Sky, hills, and a meadow of blades of grass."""
    height, width = SCALE * SCENE_HEIGHT, SCALE * SCENE_WIDTH
    down = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - down) * (120, 165, 215) + down * (225, 235, 240)
    meadow = (1 - down) * (125, 150, 80) + down * (70, 110, 45)
    across = np.linspace(0, 1, width)[None, :, None]
    bend = 0.03 * np.sin(2 * np.pi * (across * rng.uniform(0.5, 1.5) + rng.uniform()))
    hills = np.asarray((95, 125, 110))
    ground = np.where(down > horizon - 0.08 + 2 * bend, hills, sky)
    ground = np.where(down > horizon + bend, meadow, ground)
    image = Image.fromarray(ground.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for y in np.sort(rng.uniform(horizon + 0.04, 1.02, 2500)):
        x, tall = rng.uniform(0, width), 70 * (y - horizon) * rng.uniform(0.5, 1)
        tone = _varied(rng, (80, 120, 50), 28)
        draw.line([(x, height * y), (x + rng.uniform(-9, 9), height * y - tall)], tone, 4)
    return image


def _varied(rng: np.random.Generator, colour: tuple, spread: Length) -> tuple:
    """The colour, made lighter or darker at random."""
    return tuple(int(part) for part in np.asarray(colour) + rng.uniform(-spread, spread))


def _draw_tree(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    pen.shape([(x - 7, y), (x + 7, y), (x + 4, y - 70), (x - 4, y - 70)], (92, 70, 50))
    for _ in range(160):
        turn, far = rng.uniform(0, 2 * np.pi), 44 * np.sqrt(rng.uniform())
        place = x + far * np.cos(turn), y - 105 + 1.1 * far * np.sin(turn)
        across, down = rng.uniform(12, 26, 2)
        pen.oval(*place, across, down, _varied(rng, (52, 92, 48), 18))


def _draw_house(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    wall = [(x - 46, y), (x + 46, y), (x + 46, y - 46), (x - 46, y - 46)]
    pen.shape(wall, (205, 190, 165))
    pen.shape(
        [(x - 54, y - 44), (x + 54, y - 44), (x + 30, y - 82), (x - 30, y - 82)], (150, 62, 48)
    )
    for left in (-32, 14):
        window = [(x + left + dx, y - 18 - dy) for dx, dy in ((0, 0), (18, 0), (18, 16), (0, 16))]
        pen.shape(window, (70, 85, 100))
    pen.shape([(x - 7, y), (x + 7, y), (x + 7, y - 26), (x - 7, y - 26)], (100, 70, 50))


def _draw_bus(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    pen.oval(x, y + 2, 190, 14, SHADOW)
    side = [(-86, -14), (86, -14), (86, -92), (80, -100), (-80, -100), (-86, -92)]
    pen.shape([(x + dx, y + dy) for dx, dy in side], (176, 44, 40))
    pen.box(x - 86, y - 26, 172, 12, (120, 28, 28))
    for window in range(5):
        pen.box(x - 78 + 27 * window, y - 86, 22, 30, (120, 150, 170))
    pen.box(x + 60, y - 88, 18, 68, (90, 115, 135))  # door
    for wheel in (-50, 44):
        _draw_wheel(pen, x + wheel, y - 12, 34)


def _draw_car(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    pen.oval(x, y + 1, 170, 12, SHADOW)
    body = [(-78, -12), (-76, -34), (-48, -40), (-30, -62), (26, -62), (50, -40), (74, -34)]
    pen.shape([(x + dx, y + dy) for dx, dy in [*body, (80, -12)]], (38, 84, 160))
    pen.box(x - 78, y - 20, 158, 8, (26, 58, 112))
    windows = (
        [(-42, -40), (-27, -58), (-4, -58), (-4, -40)],
        [(2, -40), (2, -58), (23, -58), (42, -40)],
    )
    for window in windows:
        pen.shape([(x + dx, y + dy) for dx, dy in window], (150, 180, 196))
    pen.oval(x + 74, y - 28, 10, 8, (245, 235, 190))
    pen.oval(x - 74, y - 28, 8, 8, (190, 40, 40))
    for wheel in (-46, 46):
        _draw_wheel(pen, x + wheel, y - 11, 30)


def _draw_wheel(pen: Pen, x: Length, y: Length, across: Length) -> None:
    pen.oval(x, y, across, across, (29, 29, 31))
    pen.oval(x, y, across / 2, across / 2, (158, 158, 160))


def _draw_aeroplane(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    def shape(points: Sequence[ScenePoint], colour: tuple) -> None:
        pen.shape([(x + dx, y + dy) for dx, dy in points], colour)

    white, grey = (238, 240, 243), (186, 192, 200)
    shape([(-92, -44), (-76, -44), (-52, -8), (-78, -6)], (40, 80, 150))  # fin
    pen.oval(x, y, 190, 28, white)
    shape([(-88, -6), (80, -6), (92, 2), (-70, 8)], white)
    shape([(-70, 8), (70, 10), (40, 13), (-40, 13)], grey)
    shape([(14, 3), (-12, 3), (-58, 44), (-42, 44)], grey)  # near wing
    shape([(20, -12), (0, -12), (-34, -36), (-22, -36)], grey)  # far wing
    shape([(-84, -2), (-66, -2), (-96, 16), (-106, 16)], grey)
    pen.oval(x - 20, y + 28, 26, 12, (120, 126, 136))
    for window in range(9):
        pen.oval(x - 56 + 14 * window, y - 3, 6, 6, (60, 80, 105))
    shape([(76, -8), (88, -4), (84, -1), (74, -2)], (50, 66, 90))


OBJECTS = {
    "tree": _draw_tree,
    "house": _draw_house,
    "aeroplane": _draw_aeroplane,
    "bus": _draw_bus,
    "car": _draw_car,
}
