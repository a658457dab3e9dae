"""Checks shared by everything that takes a named option."""

from collections.abc import Collection


def check_choice(field: str, value: object, choices: Collection[str]) -> None:
    """Raises a ValueError that lists the valid values unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{field} is {value!r}; choose one of: {', '.join(choices)}")
