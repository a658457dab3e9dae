"""Draws contact sheets of groups: image, spatial prior, probability and mask, as in figure 5."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.types import Ndarray

TILE_GAP = 2  # pixels between the tiles
COLD, WARM = (np.asarray([30, 70, 190]), np.asarray([215, 45, 30]))  # S = -2 and S = 2
TINT = np.asarray([30, 200, 70])  # the colour of masks laid over images
DARKENED = (0.45 * np.arange(256)).astype(np.uint8)  # each value outside of a mask
VOID_GREYS = (np.uint8(120), np.uint8(190))  # of the stripes over void pixels
STRIPE = 3  # width of a stripe, in pixels across and down


class Row(NamedTuple):
    """One image of a group, and what is drawn below it."""

    image: UInt8[Ndarray, "H W 3"]
    prior: Float[Ndarray, "h w"]
    probability: Float[Ndarray, "S S"]
    truth: Bool[Ndarray, "H W"]


def sheet(rows: Sequence[Row], side: int = 112) -> UInt8[Ndarray, "H W 3"]:
    """Draws a group: a column for each image, with S, probability and truth below it."""
    return np.concatenate([tiles_of(row, (side, side)) for row in rows], axis=1)


def tiles_of(row: Row, size: tuple[int, int]) -> UInt8[Ndarray, "H W 3"]:
    """Draws a column: image, S, probability and truth as tiles of (height, width) = `size`."""
    image = resized(row.image, size)
    prior, probability = colour_prior(row.prior, size), _grey(row.probability, size)
    truth = tinted(image, resized_mask(row.truth, size))
    return np.concatenate([_framed(tile) for tile in (image, prior, probability, truth)])


def wrapped(columns: Sequence[UInt8[Ndarray, "T _ 3"]], per_line: int) -> UInt8[Ndarray, "H W 3"]:
    """Stacks lines of at most `per_line` columns; all columns have the same height."""
    starts = range(0, len(columns), per_line)
    lines = [np.concatenate(columns[start : start + per_line], axis=1) for start in starts]
    width = max(line.shape[1] for line in lines)
    filled = [
        np.pad(line, ((0, 0), (0, width - line.shape[1]), (0, 0)), constant_values=255)
        for line in lines
    ]
    return np.concatenate(filled)


def colour_prior(prior: Float[Ndarray, "h w"], size: tuple[int, int]) -> UInt8[Ndarray, "H W 3"]:
    """Colours the spatial prior: blue below zero, white at zero, red above.

    size: (height, width) of the result.
    """
    values = resized(prior.astype(np.float32), size)
    strength = np.clip(np.abs(values) / 2, 0, 1)[..., None]  # [H, W, 1]
    end = np.where((values > 0)[..., None], WARM, COLD)
    return (255 * (1 - strength) + end * strength).astype(np.uint8)


def tinted(image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 3"]:
    """Draws an image with its mask in green and the rest darkened."""
    drawn = DARKENED[image]
    drawn[mask] = (0.55 * image[mask] + 0.45 * TINT).astype(np.uint8)
    return drawn


def hatched(image: UInt8[Ndarray, "H W 3"], void: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 3"]:
    """Draws an image with grey stripes over its void pixels."""
    height, width = void.shape
    diagonal = np.arange(height)[:, None] + np.arange(width)[None, :]  # [H, W]
    stripes = np.where(diagonal // STRIPE % 2 == 0, *VOID_GREYS)
    return np.where(void[..., None], stripes[..., None], image)  # [H, W, 3]


def _grey(probability: Float[Ndarray, "S S"], size: tuple[int, int]) -> UInt8[Ndarray, "H W 3"]:
    grey = resized((255 * np.clip(probability, 0, 1)).astype(np.uint8), size)
    return np.repeat(grey[..., None], 3, axis=2)


def _framed(tile: UInt8[Ndarray, "h w 3"]) -> UInt8[Ndarray, "_ _ 3"]:
    return np.pad(tile, ((0, TILE_GAP), (0, TILE_GAP), (0, 0)), constant_values=255)
