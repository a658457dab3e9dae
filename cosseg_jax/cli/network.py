"""A group of photos through the network, with progress and warnings on stderr."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from tqdm import tqdm

from cosseg_jax.cli.inputs import PhotoGroup
from cosseg_jax.data.masks import decode_mask, turned_like, upright_size
from cosseg_jax.data.opening import limit_pixels
from cosseg_jax.data.prompts import Prompt, region
from cosseg_jax.errors import UserError, one_line
from cosseg_jax.predict.predictor import Predictor, load
from cosseg_jax.predict.result import GroupResult


class Segmented(NamedTuple):
    """A group after the network.

    photos: those that could be read, in the order of the result's images.
    result: None if no photo could be read.
    skipped: the photos that could not be read, and why.
    """

    photos: list[Path]
    result: GroupResult | None
    skipped: list[tuple[Path, str]]


def load_predictor(options: argparse.Namespace, *, cold: bool = True) -> Predictor:
    """The predictor of the options, which also reads very large photos: they are the user's own.

    cold: whether it segments one group only.
    """
    limit_pixels()
    predictor = load(
        options.checkpoint, cold=cold, chunk_size=options.chunk, sam_weights=options.sam_weights
    )
    if options.refine is not None:
        kind = "" if options.refine == "none" else options.refine
        predictor.options = predictor.options._replace(refine=kind)
    predictor.refiner()  # what is missing for it is said before the network runs
    return predictor


def segment_group(
    predictor: Predictor,
    group: PhotoGroup,
    options: argparse.Namespace,
    prompted: Path | None = None,
) -> Segmented:
    """Segments a group; photos in folders that cannot be read are left out, with a warning.

    prompted: the photo that the options' prompt is in, if there is one.
    Raises UserError for a photo that was named itself and cannot be read, and for a prompt that
    does not fit its photo.
    """
    prompt = None if prompted is None else read_prompt(options, prompted)
    paths = [photo.path for photo in group.photos]
    skipped: dict[int, str] = {}

    def leave_out(position: int, reason: str) -> None:
        if group.photos[position].explicit:
            raise UserError(_naming_path(paths[position], reason))
        skipped[position] = reason

    with _bar(f"reading {group.name}", len(paths)) as progress:
        try:
            session = predictor.encode(paths, on_unreadable=leave_out, progress=progress)
        except UserError:
            if len(skipped) < len(paths):
                raise
            session = None
    left_out = [(paths[position], reason) for position, reason in skipped.items()]
    for path, reason in left_out:
        print(f"warning: left out: {_naming_path(path, reason)}", file=sys.stderr)
    if session is None:
        return Segmented([], None, left_out)
    read = [path for position, path in enumerate(paths) if position not in skipped]
    if prompt is not None and prompted is not None:
        prompt = dataclasses.replace(prompt, image=read.index(prompted))
    with _bar(f"segmenting {group.name}", len(read)) as progress:
        result = session.segment(prompt=prompt, progress=progress)
    return Segmented(read, result, left_out)


def read_prompt(options: argparse.Namespace, prompted: Path) -> Prompt:
    """The prompt that the options give, for image 0; it fits its photo.

    Raises UserError for one outside its photo, or of another size.
    """
    height, width = upright_size(prompted)
    mask = None if options.mask is None else decode_mask(options.mask)
    if mask is not None and mask.shape != (height, width):  # drawn on the photo as it is stored
        turned = turned_like(mask, prompted)
        mask = turned if turned.shape == (height, width) else mask
    prompt = Prompt(0, point=options.point, box=options.box, mask=mask)
    region(prompt, height, width)
    return prompt


def no_photo_was_read() -> NoReturn:
    """Raises UserError; the warnings have said why."""
    raise UserError("none of the photos can be read; see the warnings above")


@contextlib.contextmanager
def _bar(title: str, count: int) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, as a function of the number of photos done."""
    with tqdm(total=count, desc=title.strip(), unit="photo") as bar:

        def show(done: int, _: int) -> None:
            bar.update(done - bar.n)

        yield show


def _naming_path(path: Path, reason: str) -> str:
    """The reason, with the path before it unless it names the path already."""
    name = one_line(str(path))
    return reason if name in reason else f"{name}: {reason}"
