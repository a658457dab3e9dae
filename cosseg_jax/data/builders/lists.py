"""Text files that list the images of a data set, in any of the encodings that editors write."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from cosseg_jax.data.builders.layouts.layout import composed
from cosseg_jax.errors import UserError

LIST_NAME = "cosegmentation.txt"


class ListLine(NamedTuple):
    """A line of a list: a class, and what belongs to it."""

    category: str
    name: str


def read_text(file: Path) -> str:
    """The content of a text file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Names in it are composed (NFC). Raises UserError, naming the file, for any other encoding.
    """
    content = file.read_bytes()
    try:
        return composed(content.decode(json.detect_encoding(content)))
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not text in UTF-8 or UTF-16; save it as UTF-8") from error


def find_list(folders: Iterable[Path]) -> Path | None:
    """The list in one of the folders, or None. Raises UserError when several have one."""
    found = [folder / LIST_NAME for folder in folders if (folder / LIST_NAME).is_file()]
    if len(found) > 1:
        raise UserError(f"both {found[0]} and {found[1]} list the data set; keep one of them")
    return found[0] if found else None


def read_list(file: Path, classes: Collection[str] = ()) -> list[ListLine]:
    """Reads a list: `<class> <name>` a line, comments from # on, empty lines.

    Args:
      file: the list.
      classes: those that may occur; by default any may.

    Raises UserError, naming the line, for an incomplete line, an unknown class or a repetition.
    """
    lines: dict[ListLine, int] = {}
    for number, text in enumerate(read_text(file).splitlines(), start=1):
        fields = text.partition("#")[0].split(maxsplit=1)
        if not fields:
            continue
        line = _parsed(fields, f"{file}, line {number}", classes)
        if line in lines:
            raise UserError(
                f"{file}, line {number}: '{line.category} {line.name}' is in line {lines[line]} "
                "already; remove one"
            )
        lines[line] = number
    if not lines:
        raise UserError(f"{file} lists nothing; expected `<class> <name>` a line")
    return list(lines)


def _parsed(fields: list[str], place: str, classes: Collection[str]) -> ListLine:
    if len(fields) != 2:
        raise UserError(f"{place}: found {fields[0]!r} alone; expected `<class> <name>`")
    line = ListLine(fields[0], fields[1].strip())
    if classes and line.category not in classes:
        raise UserError(
            f"{place}: unknown class {line.category!r}; expected one of {sorted(classes)}"
        )
    return line
