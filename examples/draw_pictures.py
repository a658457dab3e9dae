"""Draws the pictures of `examples/sheep`: what the notebook and the pages try the network with.

    python examples/draw_pictures.py --out examples/sheep

Meadows with sheep, which all of them share, and with a tree, a house or a balloon beside them. The
network learned from photographs; these are drawn, with soft ground and outlines, to be near enough.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 480, 360
FINER = 3  # drawn so many times larger, then shrunk: outlines are soft
WOOL, SHADE, FACE = (236, 230, 216), (206, 198, 182), (58, 50, 48)

Point = tuple[float, float]


class Scene(NamedTuple):
    """What a picture shows; places are those of the feet, in pixels.

    sheep: place, height, and 1 or -1 for where it looks, of each.
    beside: what else stands there, of THINGS, and where.
    """

    sheep: Sequence[tuple[Point, float, int]]
    beside: Sequence[tuple[str, Point]]
    horizon: float = 0.42


SCENES = (
    Scene([((190, 290), 130, 1)], [("tree", (400, 225))]),
    Scene([((130, 265), 92, -1), ((330, 310), 120, -1)], [("house", (390, 185))]),
    Scene([((300, 300), 150, -1)], [("balloon", (95, 110))], 0.5),
    Scene([((110, 300), 110, 1), ((250, 250), 76, 1), ((380, 305), 112, -1)], [], 0.38),
    Scene([((330, 270), 104, 1)], [("tree", (80, 240)), ("house", (190, 180))]),
    Scene([], [("house", (150, 200)), ("balloon", (360, 90))]),
)


class Pen:
    """A canvas in pixels of the picture, whatever it is drawn with."""

    def __init__(self, image: Image.Image):
        self._draw = ImageDraw.Draw(image)

    def oval(self, x: float, y: float, across: float, down: float, colour: tuple) -> None:
        """An ellipse around its middle."""
        box = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
        self._draw.ellipse([FINER * side for side in box], fill=colour)

    def shape(self, points: Sequence[Point], colour: tuple) -> None:
        """A polygon."""
        self._draw.polygon([(FINER * x, FINER * y) for x, y in points], fill=colour)


def picture(number: int) -> Image.Image:
    """One of SCENES."""
    rng, scene = np.random.default_rng(number), SCENES[number]
    image = _ground(rng, scene.horizon)
    pen = Pen(image)
    for kind, place in scene.beside:
        THINGS[kind](pen, rng, *place)
    for (x, y), height, looks in sorted(scene.sheep, key=lambda sheep: sheep[0][1]):
        _sheep(pen, rng, x, y, height / 100, looks)
    image = image.filter(ImageFilter.GaussianBlur(FINER / 2))
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    grain = rng.normal(0, 2, (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _ground(rng: np.random.Generator, horizon: float) -> Image.Image:
    """Sky, hills and a meadow of blades of grass."""
    height, width = FINER * HEIGHT, FINER * WIDTH
    down = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - down) * (120, 165, 215) + down * (225, 235, 240)
    meadow = (1 - down) * (125, 150, 80) + down * (70, 110, 45)
    across = np.linspace(0, 1, width)[None, :, None]
    bend = 0.03 * np.sin(2 * np.pi * (across * rng.uniform(0.5, 1.5) + rng.uniform()))
    hills = np.asarray((95, 125, 110))
    picture = np.where(down > horizon - 0.08 + 2 * bend, hills, sky)
    picture = np.where(down > horizon + bend, meadow, picture)
    image = Image.fromarray(picture.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for y in np.sort(rng.uniform(horizon + 0.04, 1.02, 2500)):
        x, tall = rng.uniform(0, width), 70 * (y - horizon) * rng.uniform(0.5, 1)
        tone = _toned(rng, (80, 120, 50), 0, 28)
        draw.line([(x, height * y), (x + rng.uniform(-9, 9), height * y - tall)], tone, 4)
    return image


def _toned(rng: np.random.Generator, colour: tuple, lighter: float, spread: float) -> tuple:
    """The colour, made lighter, and lighter or darker by chance."""
    return tuple(int(part + lighter) for part in np.asarray(colour) + rng.uniform(-spread, spread))


def _sheep(
    pen: Pen, rng: np.random.Generator, x: float, y: float, scale: float, looks: int
) -> None:
    def oval(dx: float, dy: float, across: float, down: float, colour: tuple) -> None:
        pen.oval(x + looks * scale * dx, y + scale * dy, scale * across, scale * down, colour)

    oval(0, 0, 110, 14, (62, 96, 42))  # the shadow
    for leg in (-34, -22, 22, 34):
        oval(leg, -18, 9, 38, FACE)
    for tone, low in ((SHADE, 4), (WOOL, 0)):
        oval(0, -62 + low, 96, 54, tone)
        for turn in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            size = rng.uniform(22, 28)
            oval(44 * np.cos(turn), -62 + low + 24 * np.sin(turn), size, size, tone)
    for _ in range(260):  # curls, darker below
        turn, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform())
        down = far * np.sin(turn)
        light = _toned(rng, WOOL, -26 - 22 * down, 22)
        oval(52 * far * np.cos(turn), -62 + 32 * down, *rng.uniform(4, 9, 2), light)
    oval(58, -80, 34, 27, FACE)
    oval(70, -74, 24, 18, FACE)
    oval(43, -86, 20, 9, FACE)  # the ear
    oval(50, -94, 26, 16, WOOL)
    oval(62, -84, 4, 4, (230, 225, 210))


def _tree(pen: Pen, rng: np.random.Generator, x: float, y: float) -> None:
    pen.shape([(x - 7, y), (x + 7, y), (x + 4, y - 70), (x - 4, y - 70)], (92, 70, 50))
    for _ in range(160):
        turn, far = rng.uniform(0, 2 * np.pi), 44 * np.sqrt(rng.uniform())
        place = x + far * np.cos(turn), y - 105 + 1.1 * far * np.sin(turn)
        pen.oval(*place, *rng.uniform(12, 26, 2), _toned(rng, (52, 92, 48), 0, 18))


def _house(pen: Pen, rng: np.random.Generator, x: float, y: float) -> None:
    wall = [(x - 46, y), (x + 46, y), (x + 46, y - 46), (x - 46, y - 46)]
    pen.shape(wall, (205, 190, 165))
    pen.shape(
        [(x - 54, y - 44), (x + 54, y - 44), (x + 30, y - 82), (x - 30, y - 82)], (150, 62, 48)
    )
    for left in (-32, 14):
        window = [(x + left + dx, y - 18 - dy) for dx, dy in ((0, 0), (18, 0), (18, 16), (0, 16))]
        pen.shape(window, (70, 85, 100))
    pen.shape([(x - 7, y), (x + 7, y), (x + 7, y - 26), (x - 7, y - 26)], (100, 70, 50))


def _balloon(pen: Pen, rng: np.random.Generator, x: float, y: float) -> None:
    for across, colour in ((92, (190, 60, 55)), (58, (235, 200, 90)), (24, (190, 60, 55))):
        pen.oval(x, y - 40, across, 100, colour)
    pen.shape([(x - 10, y + 24), (x + 10, y + 24), (x + 9, y + 40), (x - 9, y + 40)], (120, 85, 55))


THINGS = {"tree": _tree, "house": _house, "balloon": _balloon}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="a folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(len(SCENES)):
        picture(number).save(options.out / f"{number + 1}.jpg", quality=80)


if __name__ == "__main__":
    main()
