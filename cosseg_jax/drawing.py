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
VOID = (np.uint8(120), np.uint8(190))  # the greys of its stripes
STRIPE = 3  # pixels across and down


class Row(NamedTuple):
    """One photograph of a group and what is said of it."""

    image: UInt8[Ndarray, "H W 3"]
    prior: Float[Ndarray, "h w"]
    probability: Float[Ndarray, "S S"]
    truth: Bool[Ndarray, "H W"]


def sheet(rows: Sequence[Row], side: int = 112) -> UInt8[Ndarray, "H W 3"]:
    """One group as a picture: a column for each photograph; image, S, probability, truth below."""
    return np.concatenate([tiles_of(row, (side, side)) for row in rows], axis=1)


def tiles_of(row: Row, size: tuple[int, int]) -> UInt8[Ndarray, "H W 3"]:
    """One photograph as tiles of (height, width) = `size`: image, S, probability, truth below."""
    photo = resized(row.image, size)
    prior, probability = warmth(row.prior, size), _grey(row.probability, size)
    truth = tinted(photo, resized_mask(row.truth, size))
    return np.concatenate([_framed(tile) for tile in (photo, prior, probability, truth)])


def wrapped(columns: Sequence[UInt8[Ndarray, "T _ 3"]], per_line: int) -> UInt8[Ndarray, "H W 3"]:
    """Columns of one height as lines of `per_line` at most, the lines one below the other."""
    starts = range(0, len(columns), per_line)
    lines = [np.concatenate(columns[start : start + per_line], axis=1) for start in starts]
    width = max(line.shape[1] for line in lines)
    filled = [
        np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255)
        for line in lines
    ]
    return np.concatenate(filled)


def warmth(prior: Float[Ndarray, "h w"], size: tuple[int, int]) -> UInt8[Ndarray, "H W 3"]:
    """The spatial prior at (height, width) = `size`: blue below zero, white at it, red above."""
    values = resized(prior.astype(np.float32), size)
    strength = np.clip(np.abs(values) / 2, 0, 1)[..., None]  # [H, W, 1]
    end = np.where((values > 0)[..., None], WARM, COLD)
    return (255 * (1 - strength) + end * strength).astype(np.uint8)


def tinted(photo: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 3"]:
    """A photograph with its mask in green and the rest darkened."""
    inside = 0.55 * photo + 0.45 * TINT
    return np.where(mask[..., None], inside, 0.45 * photo).astype(np.uint8)


def hatched(
    picture: UInt8[Ndarray, "H W 3"], void: Bool[Ndarray, "H W"]
) -> UInt8[Ndarray, "H W 3"]:
    """A picture with grey stripes over its void pixels."""
    height, width = void.shape
    diagonal = np.arange(height)[:, None] + np.arange(width)[None, :]  # [H, W]
    stripes = np.where(diagonal // STRIPE % 2 == 0, *VOID)
    return np.where(void[..., None], stripes[..., None], picture)  # [H, W, 3]


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture or a float32 map at (height, width) = `size`, bilinearly."""
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def resized_mask(mask: Bool[Ndarray, "H W"], size: tuple[int, int]) -> Bool[Ndarray, "h w"]:
    """A mask at (height, width) = `size`: where it covers at least half of a pixel."""
    return resized(255 * mask.astype(np.uint8), size) > 127


def _grey(probability: Float[Ndarray, "S S"], size: tuple[int, int]) -> UInt8[Ndarray, "H W 3"]:
    grey = resized((255 * np.clip(probability, 0, 1)).astype(np.uint8), size)
    return np.repeat(grey[..., None], 3, axis=2)


def _framed(tile: UInt8[Ndarray, "h w 3"]) -> UInt8[Ndarray, "_ _ 3"]:
    return np.pad(tile, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
