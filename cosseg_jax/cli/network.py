"""A group of photos through the network, with progress and warnings on stderr."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from jaxtyping import Bool
from tqdm import tqdm

from cosseg_jax.cli.inputs import PhotoGroup
from cosseg_jax.cli.options import refine_option
from cosseg_jax.cli.prompts import PhotoPrompt
from cosseg_jax.data.masks import decode_mask, turned_like, upright_size
from cosseg_jax.data.opening import limit_pixels
from cosseg_jax.data.prompts import Prompt, marked
from cosseg_jax.errors import UserError, message_of, one_line
from cosseg_jax.predict.predictor import Predictor, load
from cosseg_jax.predict.result import GroupResult
from cosseg_jax.predict.session import Session
from cosseg_jax.types import Ndarray


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
        options.checkpoint,
        mode=options.mode,
        cold=cold,
        chunk_size=options.chunk,
        sam_weights=options.sam_weights,
        **refine_option(options),
    )
    predictor.refiner()  # what is missing for it is said before the network runs
    return predictor


class EncodedGroup(NamedTuple):
    """A group whose photos were read.

    session: of the predictor; None if no photo could be read.
    photos: those that could be read, in its order.
    prompts: those of the user, counted in it.
    skipped: the photos that could not be read, and why.
    """

    session: Session | None
    photos: list[Path]
    prompts: list[Prompt]
    skipped: list[tuple[Path, str]]


def segment_group(
    predictor: Predictor,
    group: PhotoGroup,
    prompts: Sequence[PhotoPrompt] = (),
) -> Segmented:
    """Segments a group; photos in folders that cannot be read are left out, with a warning.

    prompts: what is shown in photos of the group.
    Raises UserError for a photo that was named itself and cannot be read, and for a prompt that
    does not fit its photo.
    """
    found = encode_group(predictor, group, checked_prompts(prompts))
    if found.session is None:
        return Segmented([], None, found.skipped)
    with _bar(f"segmenting {group.name}", len(found.photos)) as progress:
        result = found.session.segment(prompt=found.prompts, progress=progress)
    return Segmented(found.photos, result, found.skipped)


def encode_group(
    predictor: Predictor, group: PhotoGroup, prompts: Mapping[Path, Sequence[Prompt]]
) -> EncodedGroup:
    """Reads and encodes a group, as `segment_group` does.

    prompts: of some of the photos, as `checked_prompts` gives them.
    """
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
    read = [path for position, path in enumerate(paths) if position not in skipped]
    given = [
        dataclasses.replace(prompt, image=read.index(photo))
        for photo, found in prompts.items()
        for prompt in found
    ]
    return EncodedGroup(session, read, given, left_out)


def checked_prompts(prompts: Sequence[PhotoPrompt]) -> dict[Path, list[Prompt]]:
    """The prompts of each photo that has any, which fit it; their image is 0.

    Raises UserError, naming the photo, for one outside its photo, of another size, or against
    another one.
    """
    found: dict[Path, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(prompt.photo, []).extend(_read_prompt(prompt))
    for photo, given in found.items():
        try:
            marked(given, *upright_size(photo))
        except UserError as error:
            raise UserError(_naming_path(photo, message_of(error))) from error
    return found


def _read_prompt(given: PhotoPrompt) -> list[Prompt]:
    """One prompt of the command line, which may have several boxes and masks."""
    found = [Prompt(0, box=box) for box in given.boxes[1:]]  # type: ignore[arg-type]
    found += [Prompt(0, mask=mask_for(given.photo, file)) for file in given.masks]
    if given.absent:
        found.append(Prompt(0, absent=True))
    if given.points or given.boxes:
        box = given.boxes[0] if given.boxes else None
        points: Any = given.points
        found.append(Prompt(0, points=points, labels=given.labels, box=box))  # type: ignore[arg-type]
    return found


def mask_for(photo: Path, file: Path) -> Bool[Ndarray, "H W"]:
    """A mask from its file; turned like the photo where it was drawn on that as it is stored."""
    mask, size = decode_mask(file), upright_size(photo)
    turned = mask if mask.shape == size else turned_like(mask, photo)
    return turned if turned.shape == size else mask


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
