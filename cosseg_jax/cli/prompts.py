"""The prompts of a command line, from its options and from a JSON file; imports nothing heavy."""

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from cosseg_jax.cli import options as shared
from cosseg_jax.errors import UserError

PROMPT_OPTIONS = ("--point", "--negative", "--box", "--mask", "--absent")
FILE_FIELDS = ("photo", "points", "labels", "box", "mask", "absent")  # of an entry of a JSON file


@dataclasses.dataclass
class PhotoPrompt:
    """What the user shows in one photo; a photo may have several of them, which add up.

    points, labels: x and y in pixels; 1 on the object and 0 beside it.
    boxes: left, top, right, bottom. masks: image files. absent: the object is not in the photo.
    """

    photo: Path
    points: list[tuple[float, ...]] = dataclasses.field(default_factory=list)
    labels: list[int] = dataclasses.field(default_factory=list)
    boxes: list[tuple[float, ...]] = dataclasses.field(default_factory=list)
    masks: list[Path] = dataclasses.field(default_factory=list)
    absent: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it shows nothing."""
        return not (self.points or self.boxes or self.masks or self.absent)


class _AddPhoto(argparse.Action):
    """Begins the prompt of a photo; the options after it add to it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        namespace.prompt = [*(namespace.prompt or []), PhotoPrompt(values)]


class _AddMark(argparse.Action):
    """Adds a mark to the prompt that was begun last."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        if not namespace.prompt:
            raise argparse.ArgumentError(
                self, "needs --prompt PHOTO before it, the photo that it is in"
            )
        _MARKS[self.dest](namespace.prompt[-1], values)


def _add_point(prompt: PhotoPrompt, point: tuple[float, ...], label: int = 1) -> None:
    prompt.points.append(point)
    prompt.labels.append(label)


def _set_absent(prompt: PhotoPrompt, _: Any) -> None:
    prompt.absent = True


_MARKS = {
    "point": _add_point,
    "negative": lambda prompt, point: _add_point(prompt, point, 0),
    "box": lambda prompt, box: prompt.boxes.append(box),
    "mask": lambda prompt, file: prompt.masks.append(file),
    "absent": _set_absent,
}


def add_prompt_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of prompts; parsed options hold them as `prompt` and `prompts`."""
    group = parser.add_argument_group(
        "prompts: show the object in one photo or several, for the whole group",
        "The options after a --prompt are about its photo; all of them may be repeated and add up.",
    )
    group.add_argument(
        "--prompt",
        type=shared.path,
        action=_AddPhoto,
        metavar="PHOTO",
        help="the photo of the marks that follow; it joins the group if it is not in it",
    )
    group.add_argument(
        "--point",
        type=_point,
        action=_AddMark,
        metavar="X,Y",
        help="a pixel on the object, counted from the upper left corner",
    )
    group.add_argument(
        "--negative",
        type=_point,
        action=_AddMark,
        metavar="X,Y",
        help="a pixel that is not on the object; what looks like it is left out in all photos",
    )
    group.add_argument(
        "--box", type=_box, action=_AddMark, metavar="L,T,R,B", help="a box around the object"
    )
    group.add_argument(
        "--mask",
        type=shared.path,
        action=_AddMark,
        metavar="FILE",
        help="a mask of the object as an image: bright on the object and dark elsewhere, or "
        "transparent elsewhere",
    )
    group.add_argument(
        "--absent", action=_AddMark, nargs=0, help="the object is not in the photo at all"
    )
    group.add_argument(
        "--prompts",
        type=shared.path,
        metavar="FILE",
        help="prompts as JSON, beside those of the other options (docs/prompts.md)",
    )


def prompts_of(options: argparse.Namespace) -> list[PhotoPrompt]:
    """All prompts of the options, those of the file last.

    Raises UserError for one that shows nothing, and for a file that is not as expected.
    """
    given = list(options.prompt or [])
    for prompt in given:
        if prompt.is_empty:
            kinds = f"{', '.join(PROMPT_OPTIONS[:-1])} and {PROMPT_OPTIONS[-1]}"
            raise UserError(f"--prompt {prompt.photo} needs one or more of {kinds}")
    return given if options.prompts is None else given + read_prompts(options.prompts)


def read_prompts(file: Path) -> list[PhotoPrompt]:
    """The prompts of a JSON file: a list of objects with the fields FILE_FIELDS.

    Paths in it are relative to its folder, or names of photos of the group.
    Raises UserError, naming the file and the entry, for anything else.
    """
    try:
        entries = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist; give a JSON file of prompts") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not JSON ({error})") from error
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{file} holds no list of prompts; expected [{{'photo': ..., ...}}, ...]")
    return [_from_json(entry, file, f"{file}, entry {k + 1}") for k, entry in enumerate(entries)]


def _from_json(entry: Any, file: Path, where: str) -> PhotoPrompt:
    if not isinstance(entry, dict) or not isinstance(entry.get("photo"), str):
        raise UserError(f"{where}: expected an object with 'photo', the name of a photo")
    if unknown := sorted(set(entry) - set(FILE_FIELDS)):
        raise UserError(
            f"{where}: unknown field {unknown[0]!r}; known are {', '.join(FILE_FIELDS)}"
        )
    points = entry.get("points", [])
    if not isinstance(points, list):
        raise UserError(f"{where}: points is {points!r}; expected [[x, y], ...]")
    labels = entry.get("labels", [1] * len(points))
    if not isinstance(labels, list) or [x for x in labels if x not in (0, 1)]:
        raise UserError(f"{where}: labels is {labels!r}; expected 1 (object) or 0 for each point")
    if len(labels) != len(points):
        raise UserError(f"{where}: {len(labels)} labels for {len(points)} points")
    if not isinstance(entry.get("absent", False), bool):
        raise UserError(f"{where}: absent is {entry['absent']!r}; expected true or false")
    if not isinstance(entry.get("mask", ""), str):
        raise UserError(f"{where}: mask is {entry['mask']!r}; expected the name of a file")
    prompt = PhotoPrompt(
        _beside(file, _path(entry["photo"], where)),
        [_numbers(point, 2, f"{where}: a point") for point in points],
        [int(label) for label in labels],
        [_numbers(entry["box"], 4, f"{where}: box")] if "box" in entry else [],
        [file.parent / _path(entry["mask"], where)] if "mask" in entry else [],
        entry.get("absent", False),
    )
    if prompt.is_empty:
        raise UserError(f"{where}: it shows nothing; give points, box, mask or absent")
    return prompt


def _path(text: str, where: str) -> Path:
    try:
        return shared.path(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{where}: {error}") from error


def _beside(file: Path, name: Path) -> Path:
    """The photo beside the file, if there is one; else a name to look up in the group."""
    beside = file.parent / name
    return beside if beside.is_file() else name


def _numbers(values: Any, count: int, what: str) -> tuple[float, ...]:
    numbers = values if isinstance(values, list) else []
    if len(numbers) != count or not all(_is_finite(value) for value in numbers):
        raise UserError(f"{what} is {values!r}; expected {count} numbers, in pixels")
    return tuple(float(value) for value in numbers)


def _is_finite(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(float(value))
    except OverflowError:
        return False


def _point(text: str) -> tuple[float, ...]:
    return shared.numbers(text, "a point X,Y in pixels, like 120,80", 2)


def _box(text: str) -> tuple[float, ...]:
    return shared.numbers(text, "a box LEFT,TOP,RIGHT,BOTTOM in pixels, like 20,10,200,160", 4)
