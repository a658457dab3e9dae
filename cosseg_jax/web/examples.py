"""Groups to try the page with: drawn images, made when they are asked for."""

import functools
import io

from cosseg_jax.errors import UserError
from cosseg_jax.web.drawn_scenes import DRAWN_GROUPS, drawn_image

EXAMPLE_GROUPS = {  # key of DRAWN_GROUPS: what its images share, in words
    "car": "a car",
    "aeroplane": "an aeroplane",
}


def example_files(group: str) -> dict[str, bytes]:
    """PNG files by name, all of which show one kind of object.

    Raises UserError unless `group` is a key of EXAMPLE_GROUPS.
    """
    _check_example(group)
    numbers = range(len(DRAWN_GROUPS[group]))
    return {f"{group} {number + 1}.png": _example_file(group, number) for number in numbers}


def first_example_file(group: str) -> bytes:
    """A PNG file, the first of `example_files`, which raises the same."""
    _check_example(group)
    return _example_file(group, 0)


def _check_example(group: str) -> None:
    if group not in EXAMPLE_GROUPS:
        choices = ", ".join(EXAMPLE_GROUPS)
        raise UserError(f"there is no example {group[:40]!r}; choose one of {choices}")


@functools.lru_cache(maxsize=sum(len(DRAWN_GROUPS[group]) for group in EXAMPLE_GROUPS))
def _example_file(group: str, number: int) -> bytes:
    encoded = io.BytesIO()
    drawn_image(group, number).save(encoded, format="PNG")
    return encoded.getvalue()
