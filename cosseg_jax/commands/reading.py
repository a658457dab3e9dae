"""Which of the listed photographs decode, and the user's mark in one of them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from cosseg_jax import heic
from cosseg_jax.commands.photo_arguments import Listed
from cosseg_jax.data.decoding import decode_mask
from cosseg_jax.errors import UserError, message_of, one_line
from cosseg_jax.photographs import read_photograph
from cosseg_jax.prompts import Prompt, region


class Sound(NamedTuple):
    """A photograph that decodes, and its own size, upright."""

    path: Path
    height: int
    width: int


class Skipped(NamedTuple):
    """A file in a folder that looked like a photograph and does not decode."""

    path: Path
    reason: str


def check(photos: Sequence[Listed]) -> tuple[list[Sound], list[Skipped]]:
    """Decodes every photograph once; warns on stderr of those in folders that do not decode.

    Raises UserError for one that was named itself.
    """
    heic.register()
    sound: list[Sound] = []
    skipped: list[Skipped] = []
    for photo in tqdm(photos, desc="reading", unit="photo", leave=False):
        try:
            image = read_photograph(photo.path, photo.path.stem).image
        except Exception as error:  # readers of broken files raise whatever they like
            reason = heic.advice(photo.path) or message_of(error)
            if photo.explicit:
                raise UserError(_naming(photo.path, reason)) from error
            skipped.append(Skipped(photo.path, reason))
        else:
            sound.append(Sound(photo.path, *image.shape[:2]))
    for path, reason in skipped:
        print(f"warning: left out: {_naming(path, reason)}", file=sys.stderr)
    return sound, skipped


def check_any(photos: Sequence[object]) -> None:
    """Raises UserError if there is no photograph."""
    if not photos:
        raise UserError("none of the photographs decodes; see the warnings above")


def prompt_of(
    options: argparse.Namespace, photos: Sequence[Sound], marked: Path | None
) -> Prompt | None:
    """The mark that the options give.

    marked: the path of one of the photographs; None if the options mark none.
    Raises ValueError for a mark outside the photograph, or of another size.
    """
    if marked is None:
        return None
    mask = None if options.mask is None else decode_mask(options.mask)
    number = [photo.path for photo in photos].index(marked)
    prompt = Prompt(number, point=options.point, box=options.box, mask=mask)
    region(prompt, photos[number].height, photos[number].width)
    return prompt


def _naming(path: Path, reason: str) -> str:
    name = one_line(str(path))
    return reason if name in reason else f"{name}: {reason}"
