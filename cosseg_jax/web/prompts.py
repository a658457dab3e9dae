"""What the page says of the user's marks and choices, as JSON, to what the predictor takes."""

import json
import math
from typing import Any

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.web.sessions import Session


def asked_for(body: bytes, session: Session) -> tuple[frozenset[int], Prompt | None]:
    """Photographs to leave out and the mark, of {"left_out": [numbers], "mark": mark or null}.

    A mark is {"photo": number, "point": [x, y]} or {"photo": number, "box": [left, top, right,
    bottom]}, in pixels of the upright photograph; what of it lies outside is moved to the edge.

    Raises UserError for anything else.
    """
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise UserError("the request is no JSON") from error
    if not isinstance(given, dict):
        raise UserError("the request is no JSON object")
    left_out = given.get("left_out") or []
    if not isinstance(left_out, list) or not all(_is_number(n, session) for n in left_out):
        raise UserError("left_out is no list of numbers of photographs")
    return frozenset(left_out), _prompt(given.get("mark"), session)


def mark_as_json(mark: Prompt | None) -> dict[str, Any] | None:
    """The inverse."""
    if mark is None:
        return None
    kind = "point" if mark.point is not None else "box"
    return {"photo": mark.image, kind: list(getattr(mark, kind))}


def threshold_of(text: str) -> float:
    """A threshold on the probability, 0..1. Raises UserError for anything else."""
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold is {text!r}; expected a number from 0 to 1")
    return threshold


def _prompt(mark: Any, session: Session) -> Prompt | None:
    if mark is None:
        return None
    if not isinstance(mark, dict) or not _is_number(mark.get("photo"), session):
        raise UserError("the mark names no photograph of this group")
    photo = session.photos[mark["photo"]]
    if "point" in mark:
        x, y = _within(mark["point"], 2, photo.width, photo.height)
        return Prompt(mark["photo"], point=(min(x, photo.width - 0.5), min(y, photo.height - 0.5)))
    left, top, right, bottom = _within(mark.get("box"), 4, photo.width, photo.height)
    if right - left < 1 or bottom - top < 1:
        raise UserError("the box is smaller than a pixel; draw it larger")
    return Prompt(mark["photo"], box=(left, top, right, bottom))


def _within(values: Any, count: int, width: int, height: int) -> list[float]:
    """Coordinates x, y, x, y... in pixels, moved into the photograph."""
    numbers = values if isinstance(values, list) else []
    fine = [v for v in numbers if isinstance(v, int | float) and math.isfinite(v)]
    if len(numbers) != count or len(fine) != count:
        raise UserError("a mark takes a point of two numbers or a box of four, in pixels")
    return [min(max(float(v), 0.0), float((width, height)[k % 2])) for k, v in enumerate(fine)]


def _is_number(value: Any, session: Session) -> bool:
    return type(value) is int and 0 <= value < len(session.photos)
