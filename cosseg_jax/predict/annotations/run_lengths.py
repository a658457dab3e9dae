"""Masks as COCO's run lengths, compressed to text as pycocotools does it, and back."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from cosseg_jax.types import Ndarray


def mask_to_counts(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """COCO's uncompressed run lengths: of False, True, False, ... down the columns."""
    pixels = mask.ravel(order="F")  # [W * H]
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [pixels.size]])).tolist()
    return [0, *lengths] if pixels[0] else lengths


def counts_to_mask(counts: Sequence[int], height: int, width: int) -> Bool[Ndarray, "H W"]:
    """The inverse of `mask_to_counts`."""
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape((height, width), order="F")


def compressed(counts: Sequence[int]) -> str:
    """COCO's compressed run lengths.

    From the fourth on, each is less the one two before it; it is written five bits at a time, the
    lowest first, in characters from "0" on.
    """
    characters = []
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            characters.append(chr(48 + bits + (0x20 if more else 0)))
    return "".join(characters)


def uncompressed(text: str) -> list[int]:
    """The inverse of `compressed`."""
    counts: list[int] = []
    value, place = 0, 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << place
        place += 5
        if not bits & 0x20:
            value -= (1 << place) if bits & 0x10 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, place = 0, 0
    return counts


def bounding_box(mask: Bool[Ndarray, "H W"]) -> list[int]:
    """[left, top, width, height] of a mask that is not empty, in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
