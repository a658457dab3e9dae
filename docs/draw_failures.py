"""Draws the failures in docs/model_card.md: groups that the shipped network gets wrong.

    python docs/draw_failures.py --out docs/failures

The groups are drawn chairs, bicycles and trees on meadows, and objects of the built-in data set.
Each figure shows the images above and their masks below.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import cosseg_jax
from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.predict.drawing import tinted
from cosseg_jax.web.drawn_scenes import Length, Pen, Scene, drawn_scene

SIZE = (135, 180)  # height and width of a tile
WHITE = 255
COLOURS = 128  # in the palette of each figure
SHAPES = "star-dot"  # a category of the built-in data set

SCENES = {
    "chairs": (
        Scene([("tree", (400, 220)), ("chair", (210, 300))]),
        Scene([("chair", (130, 290)), ("house", (360, 210))]),
        Scene([("chair", (300, 310)), ("chair", (150, 280))]),
        Scene([("chair", (240, 290)), ("car", (380, 230))]),
    ),
    "bicycles": (
        Scene([("tree", (90, 220)), ("bicycle", (260, 300))]),
        Scene([("house", (380, 210)), ("bicycle", (180, 290))]),
        Scene([("bicycle", (240, 310))]),
        Scene([("bus", (150, 240)), ("bicycle", (320, 310))]),
    ),
    "trees": (
        Scene([("tree", (130, 230)), ("car", (320, 300))]),
        Scene([("aeroplane", (150, 70)), ("tree", (330, 250))], 0.55),
        Scene([("bus", (320, 280)), ("tree", (110, 230))]),
        Scene([("tree", (120, 220)), ("tree", (340, 260))]),
    ),
}


def _chair(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    wood, dark = (150, 98, 52), (112, 70, 36)
    for dx, dy in ((-30, -8), (26, -8)):
        pen.box(x + dx, y + dy - 52, 7, 52, dark)  # back legs
    for dx in (-40, 34):
        pen.box(x + dx, y - 56, 8, 56, wood)
    pen.shape([(x - 44, y - 54), (x + 46, y - 54), (x + 34, y - 68), (x - 32, y - 68)], wood)
    for dx in (-32, -11, 10, 27):
        pen.box(x + dx, y - 140, 5, 74, wood)  # bars of the backrest
    pen.box(x - 34, y - 144, 68, 9, wood)


def _bicycle(pen: Pen, rng: np.random.Generator, x: Length, y: Length) -> None:
    red, black = (190, 40, 40), (35, 35, 38)

    def tube(x0: Length, y0: Length, x1: Length, y1: Length, colour: tuple) -> None:
        across, down = x1 - x0, y1 - y0
        length = float(np.hypot(across, down))
        dx, dy = -2.5 * down / length, 2.5 * across / length
        ends = [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]
        pen.shape([(x + px, y + py) for px, py in ends], colour)

    for hub in (-58, 58):
        corners = [2 * np.pi * step / 24 for step in range(25)]
        rim = [(hub + 36 * np.cos(turn), -36 + 36 * np.sin(turn)) for turn in corners]
        for (x0, y0), (x1, y1) in itertools.pairwise(rim):
            tube(x0, y0, x1, y1, black)
    for ends in (
        (-58, -36, -6, -36),  # chain
        (-58, -36, -22, -84),
        (-6, -36, -22, -84),
        (-6, -36, 40, -90),
        (-22, -84, 40, -84),
        (58, -36, 38, -98),
    ):
        tube(*ends, red)
    tube(-34, -90, -10, -90, black)  # saddle
    tube(26, -100, 48, -98, black)  # handlebar


THINGS = {"chair": _chair, "bicycle": _bicycle}


def figure(predictor: cosseg_jax.Predictor, images: Sequence[np.ndarray]) -> Image.Image:
    """A group's images in the upper row, and with their masks in the lower row."""
    shown = [resized(image, SIZE) for image in images]
    masks = [resized_mask(result.mask, SIZE) for result in predictor(images).images]
    masked = [tinted(image, mask) for image, mask in zip(shown, masks, strict=True)]
    both = np.concatenate([_row(shown), _row(masked)])
    return Image.fromarray(both).quantize(COLOURS, dither=Image.Dither.NONE)


def _row(tiles: Sequence[np.ndarray]) -> np.ndarray:
    edges = ((2, 2), (2, 2), (0, 0))
    return np.concatenate([np.pad(tile, edges, constant_values=WHITE) for tile in tiles], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="a folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    source = Shapes("val")
    members = source.members[source.categories.index(SHAPES)][:4]
    groups = {"shapes": [source[int(index)].image for index in members]}
    for name, scenes in SCENES.items():
        groups[name] = [np.asarray(drawn_scene(scene, i, THINGS)) for i, scene in enumerate(scenes)]
    predictor = cosseg_jax.load()
    for name, images in groups.items():
        figure(predictor, images).save(options.out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
