"""The page's requests, as JSON and as text, to what the predictor takes."""

import json
import math
from collections.abc import Sequence
from typing import Any

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.web.uploads import Upload

LONGEST_ECHO = 60  # characters of a wrong value that a message repeats


def segment_request(body: bytes, images: Sequence[Upload]) -> tuple[frozenset[int], Prompt | None]:
    """The images to leave out and the prompt: {"left_out": [numbers], "prompt": prompt or null}.

    A prompt is {"photo": number, "point": [x, y]} or {"photo": number, "box": [left, top, right,
    bottom]}, in pixels of the upright image. Coordinates outside of it are moved to its edge.

    Raises UserError for anything else.
    """
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise UserError("the request is not JSON, or is nested too deeply") from error
    if not isinstance(given, dict):
        raise UserError("the request is not a JSON object")
    if unknown := set(given) - {"left_out", "prompt"}:
        raise UserError(f"the request has an unknown field {min(unknown)[:LONGEST_ECHO]!r}")
    left_out = given.get("left_out", [])
    if not isinstance(left_out, list) or not all(_is_number(n, images) for n in left_out):
        raise UserError("left_out is not a list of numbers of photos")
    return frozenset(left_out), _prompt(given.get("prompt"), images)


def prompt_as_json(prompt: Prompt | None) -> dict[str, Any] | None:
    """The inverse."""
    if prompt is None:
        return None
    kind = "point" if prompt.point is not None else "box"
    return {"photo": prompt.image, kind: list(getattr(prompt, kind))}


def threshold_of(text: str) -> float:
    """A threshold on the probability, 0..1. Raises UserError for anything else."""
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold is {text[:LONGEST_ECHO]!r}; expected a number from 0 to 1")
    return threshold


def number_of(text: str) -> int | None:
    """A number in an address; None for what is not one of at most nine digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _prompt(given: Any, images: Sequence[Upload]) -> Prompt | None:
    if given is None:
        return None
    if not isinstance(given, dict) or not _is_number(given.get("photo"), images):
        raise UserError("the prompt names no photo of this group")
    if ("point" in given) == ("box" in given):
        raise UserError("the prompt takes either a point or a box")
    number, image = given["photo"], images[given["photo"]]
    if "point" in given:
        x, y = _within(given["point"], 2, image)
        return Prompt(number, point=(min(x, image.width - 0.5), min(y, image.height - 0.5)))
    left, top, right, bottom = _within(given["box"], 4, image)
    if right - left < 1 or bottom - top < 1:
        raise UserError("the box is smaller than a pixel; draw it larger")
    return Prompt(number, box=(left, top, right, bottom))


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
