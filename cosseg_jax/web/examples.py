"""Groups to try the page with: drawn pictures, made when asked for."""

import functools
import io

from cosseg_jax.errors import UserError
from cosseg_jax.web.drawn_scenes import GROUPS, picture

EXAMPLES = {  # key of meadows.GROUPS: what the pictures share, in words
    "car": "a car",
    "aeroplane": "an aeroplane",
}


def example(group: str) -> dict[str, bytes]:
    """PNG files by name, all of which show one object.

    Raises UserError for what is no key of EXAMPLES.
    """
    _check(group)
    numbers = range(len(GROUPS[group]))
    return {f"{group} {number + 1}.png": _png(group, number) for number in numbers}


def first_picture(group: str) -> bytes:
    """A PNG file, the first of `example`, which raises alike."""
    _check(group)
    return _png(group, 0)


def _check(group: str) -> None:
    if group not in EXAMPLES:
        raise UserError(f"there is no example {group!r}; choose one of {', '.join(EXAMPLES)}")


@functools.lru_cache(maxsize=sum(len(GROUPS[group]) for group in EXAMPLES))
def _png(group: str, number: int) -> bytes:
    encoded = io.BytesIO()
    picture(group, number).save(encoded, format="PNG")
    return encoded.getvalue()
