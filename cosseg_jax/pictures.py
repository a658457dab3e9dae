"""Contact sheets of groups: photograph, spatial prior, probability and truth, as in figure 5."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from cosseg_jax.types import Ndarray

GAP = 2  # pixels between the tiles
COLD, WARM = (np.asarray([30, 70, 190]), np.asarray([215, 45, 30]))  # S = -2 and S = 2
TINT = np.asarray([30, 200, 70])  # of masks laid over photographs


class Row(NamedTuple):
    """One photograph of a group and what is said of it."""

    image: UInt8[Ndarray, "H W 3"]
    indicator: Float[Ndarray, "h w"]
    probability: Float[Ndarray, "S S"]
    truth: Bool[Ndarray, "H W"]


def sheet(rows: Sequence[Row], side: int = 112) -> UInt8[Ndarray, "H W 3"]:
    """One group as a picture: a column for each photograph; image, S, probability, truth below."""
    columns = [np.concatenate([_framed(tile) for tile in _tiles(row, side)]) for row in rows]
    return np.concatenate(columns, axis=1)


def _tiles(row: Row, side: int) -> list[UInt8[Ndarray, "T T 3"]]:
    photo = _resized(row.image, side)
    truth = _resized(255 * row.truth.astype(np.uint8), side) > 127
    return [photo, warmth(row.indicator, side), _grey(row.probability, side), tinted(photo, truth)]


def warmth(indicator: Float[Ndarray, "h w"], side: int) -> UInt8[Ndarray, "T T 3"]:
    """The spatial prior in colours: blue below zero, white at zero, red above."""
    values = _resized(indicator.astype(np.float32), side)
    strength = np.clip(np.abs(values) / 2, 0, 1)[..., None]  # [T, T, 1]
    end = np.where((values > 0)[..., None], WARM, COLD)
    return (255 * (1 - strength) + end * strength).astype(np.uint8)


def tinted(photo: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 3"]:
    """A photograph with its mask in green and the rest darkened."""
    inside = 0.55 * photo + 0.45 * TINT
    return np.where(mask[..., None], inside, 0.45 * photo).astype(np.uint8)


def _grey(probability: Float[Ndarray, "S S"], side: int) -> UInt8[Ndarray, "T T 3"]:
    grey = _resized((255 * np.clip(probability, 0, 1)).astype(np.uint8), side)
    return np.repeat(grey[..., None], 3, axis=2)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def _framed(tile: UInt8[Ndarray, "T T 3"]) -> UInt8[Ndarray, "_ _ 3"]:
    return np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
