"""Masks as polygons, from which the tools that read them get the same pixels back.

A polygon has no holes in COCO and YOLO: what surrounds a hole is cut open along a line to it, once
there and once back.
"""

import itertools

import contourpy
import numpy as np
from jaxtyping import Bool, Float, Int

from cosseg_jax.types import Ndarray

LEVEL = 0.49  # below one half, so that pixels that touch at a corner are in one polygon


def edge_polygons(mask: Bool[Ndarray, "H W"]) -> list[Float[Ndarray, "P 2"]]:
    """Polygons half-way between pixels of the mask and others, as pycocotools reads them.

    The pixel in column x and row y is the square from (x, y) to (x + 1, y + 1).
    """
    return [_without_holes(each) for each in _contours(np.pad(mask, 1))]


def pixel_polygons(mask: Bool[Ndarray, "H W"]) -> list[Int[Ndarray, "P 2"]]:
    """Column and row of the outermost pixels of the mask's parts, as OpenCV fills polygons."""
    padded = np.pad(mask, 1)
    rings = [[_inside(ring, padded) for ring in each] for each in _contours(padded)]
    return [_without_holes(each) for each in rings]


def _contours(padded: Bool[Ndarray, "_ _"]) -> list[list[Float[Ndarray, "P 2"]]]:
    """For each part its outline and those of its holes, closed, in the mask's coordinates."""
    generator = contourpy.contour_generator(z=padded.astype(np.float32), fill_type="OuterOffset")
    found = []
    for points, offsets in zip(*generator.filled(LEVEL, np.inf), strict=True):
        halves = np.round(2 * np.asarray(points)) / 2 - 0.5  # less the padding, plus half a pixel
        found.append([halves[first:last] for first, last in itertools.pairwise(offsets)])
    return found


def _inside(ring: Float[Ndarray, "P 2"], padded: Bool[Ndarray, "_ _"]) -> Int[Ndarray, "Q 2"]:
    """The pixels of the mask next to a ring, each once in a row."""
    low, high = np.floor(ring - 0.5).astype(int), np.ceil(ring - 0.5).astype(int)
    is_low = padded[low[:, 1] + 1, low[:, 0] + 1]
    pixels = np.where(is_low[:, None], low, high)
    moved = (pixels != np.roll(pixels, 1, axis=0)).any(axis=1)
    return pixels[moved] if moved.any() else pixels[:1]


def _without_holes(rings: list) -> Ndarray:
    """An outline that takes in the outlines of its holes, the nearest one first."""
    outline, holes = rings[0], list(rings[1:])
    while holes:
        distances = [_nearest(outline, hole) for hole in holes]
        nearest = min(range(len(holes)), key=lambda k: distances[k][0])
        _, at, place = distances[nearest]
        hole = holes.pop(nearest)
        turned = np.concatenate([hole[place:], hole[: place + 1]])
        outline = np.concatenate([outline[: at + 1], turned, outline[at:]])
    return outline


def _nearest(outline: Ndarray, hole: Ndarray) -> tuple[float, int, int]:
    """The least distance of two outlines' corners, and which ones have it."""
    from scipy.spatial import cKDTree  # takes a while, and few masks have holes

    distances, places = cKDTree(outline).query(hole)
    place = int(np.argmin(distances))
    return float(distances[place]), int(places[place]), place
