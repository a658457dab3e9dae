"""The page's requests, as JSON and as text, to what the predictor takes."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Bool

from cosseg_jax.data.prompts import Prompt, by_image
from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray
from cosseg_jax.web.uploads import Upload

PROMPT_FIELDS = ("points", "labels", "box", "absent")
MaskAt = Callable[[Any, int], Bool[Ndarray, "H W"]]
FoundAt = Callable[[int, float, int], Bool[Ndarray, "H W"]]
LONGEST_QUOTED = 60  # characters of a wrong value that a message repeats


@dataclasses.dataclass(frozen=True, eq=False)
class FoundPrompt(Prompt):
    """A prompt by the mask that an earlier job found, which the user says is right or wrong.

    version: of that job. threshold: at which the mask was seen. It is the prompt's `mask` where it
        is right, else `excluded`.
    """

    version: int = 0
    threshold: float = 0.5


def segment_request(
    body: bytes, images: Sequence[Upload], found_at: FoundAt
) -> tuple[frozenset[int], tuple[Prompt, ...]]:
    """The images to leave out and the prompts: {"left_out": [numbers], "prompts": [prompts]}.

    A prompt is {"photo": number} and one or more of "points": [[x, y], ...] with "labels": [1 on
    the object or 0 beside it, ...], "box": [left, top, right, bottom], or "absent": true, in pixels
    of the upright image. Coordinates outside of it are moved to its edge. {"photo": number,
    "found": {"version": of a job, "threshold": 0..1}, "wrong": false} says that the mask which it
    found is right; with true, what it covers is not the object.

    found_at: the mask of a version and threshold in the image of a number.

    Raises UserError for anything else.
    """
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise UserError("the request is not JSON, or is nested too deeply") from error
    if not isinstance(given, dict):
        raise UserError("the request is not a JSON object")
    if unknown := set(given) - {"left_out", "prompts"}:
        raise UserError(f"the request has an unknown field {min(unknown)[:LONGEST_QUOTED]!r}")
    left_out = given.get("left_out", [])
    if not isinstance(left_out, list) or not all(_is_number(n, images) for n in left_out):
        raise UserError("left_out is not a list of numbers of photos")
    return frozenset(left_out), prompts_from_json(
        given.get("prompts", []), images, found_at=found_at
    )


def prompts_from_json(
    given: Any,
    images: Sequence[Upload],
    mask_at: MaskAt | None = None,
    found_at: FoundAt | None = None,
) -> tuple[Prompt, ...]:
    """A list of prompts, as `segment_request` describes them. Raises UserError for anything else.

    mask_at: the mask that the field "mask" of a prompt stands for, in the image of a number.
    found_at: likewise for "found".
    """
    if not isinstance(given, list):
        raise UserError("prompts is not a list")
    prompts = [
        _found_prompt(each, images, found_at)
        if found_at and isinstance(each, dict) and "found" in each
        else _prompt(each, images, mask_at)
        for each in given
    ]
    return _checked(prompts, images)


def prompts_as_json(prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
    """The inverse."""
    return [_as_json(prompt) for prompt in prompts]


def threshold_of(text: str) -> float:
    """A threshold on the probability, 0..1. Raises UserError for anything else."""
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold is {text[:LONGEST_QUOTED]!r}; expected a number from 0 to 1")
    return threshold


def number_of(text: str) -> int | None:
    """A number in an address; None for what is not one of at most nine digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _prompt(given: Any, images: Sequence[Upload], mask_at: MaskAt | None) -> Prompt:
    if not isinstance(given, dict) or not _is_number(given.get("photo"), images):
        raise UserError("a prompt names no photo of this group")
    fields = {"photo", *PROMPT_FIELDS} | ({"mask"} if mask_at else set())
    if unknown := set(given) - fields:
        raise UserError(f"a prompt has an unknown field {min(unknown)[:LONGEST_QUOTED]!r}")
    number, image = given["photo"], images[given["photo"]]
    points, absent = given.get("points", []), given.get("absent", False)
    if not isinstance(points, list) or not isinstance(absent, bool):
        raise UserError("a prompt takes points as a list of pairs, and absent as true or false")
    labels = given.get("labels", [1] * len(points))
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise UserError("a prompt takes labels as a list of 1 and 0")
    box = _box(given["box"], image) if "box" in given else None
    inside = [_point(point, image) for point in points]
    mask = mask_at(given["mask"], number) if mask_at and "mask" in given else None
    return Prompt(number, points=inside, labels=labels, box=box, mask=mask, absent=absent)


def _found_prompt(given: dict[str, Any], images: Sequence[Upload], found_at: FoundAt) -> Prompt:
    """A mask that is right or wrong; where a right one is empty, the object is absent."""
    number: Any = given.get("photo")
    found: Any = given["found"]
    if unknown := set(given) - {"photo", "found", "wrong"}:
        raise UserError(f"a prompt with found has a field {min(unknown)[:LONGEST_QUOTED]!r} too")
    wrong = given.get("wrong", False)
    known = isinstance(found, dict) and set(found) == {"version", "threshold"}
    if not known or not _is_number(number, images) or not isinstance(wrong, bool):
        raise UserError(
            "a prompt with found takes a photo, and the version and threshold of a mask"
        )
    version, threshold = found["version"], _finite(found["threshold"])
    if type(version) is not int or threshold is None or not 0 <= threshold <= 1:
        raise UserError("found takes the number of a job, and a threshold from 0 to 1")
    mask = found_at(version, threshold, number)
    if wrong:
        return FoundPrompt(number, excluded=mask, version=version, threshold=threshold)
    if not mask.any():
        return Prompt(number, absent=True)
    return FoundPrompt(number, mask=mask, version=version, threshold=threshold)


def _checked(prompts: Sequence[Prompt], images: Sequence[Upload]) -> tuple[Prompt, ...]:
    """The prompts; raises UserError where those of one photo contradict each other."""
    for number, found in by_image(prompts).items():
        if any(prompt.absent for prompt in found) and not all(prompt.absent for prompt in found):
            name = images[number].name
            raise UserError(f"the object is marked in {name}, and said not to be there")
    return tuple(prompts)


def _as_json(prompt: Prompt) -> dict[str, Any]:
    found: dict[str, Any] = {"photo": prompt.image}
    if isinstance(prompt, FoundPrompt):
        found["found"] = {"version": prompt.version, "threshold": prompt.threshold}
        found["wrong"] = prompt.excluded is not None
    if prompt.points:
        found["points"] = [list(point) for point in prompt.points]
        found["labels"] = list(prompt.labels or [1] * len(prompt.points))
    if prompt.box is not None:
        found["box"] = list(prompt.box)
    if prompt.absent:
        found["absent"] = True
    return found


def _point(values: Any, image: Upload) -> tuple[float, float]:
    x, y = _within(values, 2, image)
    return min(x, image.width - 0.5), min(y, image.height - 0.5)


def _box(values: Any, image: Upload) -> tuple[float, float, float, float]:
    left, top, right, bottom = _within(values, 4, image)
    if right - left < 1 or bottom - top < 1:
        raise UserError("the box is smaller than a pixel; draw it larger")
    return left, top, right, bottom


def _within(values: Any, count: int, image: Upload) -> list[float]:
    """Coordinates x, y, x, y... in pixels, moved into the image."""
    numbers = values if isinstance(values, list) else []
    finite = [_finite(value) for value in numbers]
    if len(numbers) != count or None in finite:
        raise UserError("a prompt takes a point of two numbers or a box of four, in pixels")
    sides = (image.width, image.height)
    return [min(max(v, 0.0), float(sides[k % 2])) for k, v in enumerate(finite) if v is not None]


def _finite(value: Any) -> float | None:
    """A JSON number as a float; None for anything else, also for one that no float can hold."""
    if type(value) not in (int, float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _is_number(value: Any, images: Sequence[Upload]) -> bool:
    return type(value) is int and 0 <= value < len(images)
