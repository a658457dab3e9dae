"""What the benchmarks' original distributions have in common: where they lie, lists, pictures."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cosseg_jax.data.builders.layouts.entry import is_shown

LIST_NAME = "cosegmentation.txt"
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff")


class Line(NamedTuple):
    """A line of a list: a class, and what belongs to it."""

    category: str
    name: str


def root_at_or_below(folder: Path, places: Sequence[str], parts: Sequence[str]) -> Path | None:
    """The first of a folder's places, each a path from it, that has all the parts as folders."""
    for root in (folder / place for place in places):
        if all((root / part).is_dir() for part in parts):
            return root
    return None


def list_file(folders: Iterable[Path]) -> Path | None:
    """The list in one of the folders, or None. Raises ValueError when several have one."""
    found = [folder / LIST_NAME for folder in folders if (folder / LIST_NAME).is_file()]
    if len(found) > 1:
        raise ValueError(f"both {found[0]} and {found[1]} list the data set; keep one of them")
    return found[0] if found else None


def read_list(file: Path, classes: Collection[str] = ()) -> list[Line]:
    """Reads a list: `<class> <name>` a line, comments from # on, empty lines.

    Args:
      file: the list, in UTF-8.
      classes: those that may occur; any may, where none are given.

    Raises ValueError, naming the line, for an incomplete line, an unknown class or a repetition.
    """
    lines: dict[Line, int] = {}
    for number, text in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        fields = text.partition("#")[0].split(maxsplit=1)
        if not fields:
            continue
        line = _checked(fields, f"{file}, line {number}", classes)
        if line in lines:
            raise ValueError(f"{file}, line {number}: {line} is in line {lines[line]} already")
        lines[line] = number
    if not lines:
        raise ValueError(f"{file} lists nothing; expected `<class> <name>` a line")
    return list(lines)


def pictures_by_stem(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> dict[str, Path]:
    """The pictures in a folder by name without suffix; other files are passed over.

    Raises ValueError when two have the same name but for the suffix.
    """
    pictures: dict[str, Path] = {}
    for file in sorted(path for path in folder.iterdir() if path.is_file() and is_shown(path)):
        if file.suffix.lower() not in suffixes:
            continue
        if file.stem in pictures:
            raise ValueError(f"{pictures[file.stem]} and {file} have the same name; keep one")
        pictures[file.stem] = file
    return pictures


def check_there(files: Iterable[Path | str], why: str) -> None:
    """Raises FileNotFoundError, naming how many files are missing and the first, if any are.

    Args:
      files: those that are missing.
      why: what asks for them, and what to do, as the rest of the sentence.
    """
    missing = list(files)
    if missing:
        raise FileNotFoundError(f"{len(missing)} missing, the first being {missing[0]}: {why}")


def _checked(fields: list[str], place: str, classes: Collection[str]) -> Line:
    if len(fields) != 2:
        raise ValueError(f"{place}: found {fields[0]!r} alone; expected `<class> <name>`")
    line = Line(fields[0], fields[1].strip())
    if classes and line.category not in classes:
        raise ValueError(
            f"{place}: unknown class {line.category!r}; expected one of {sorted(classes)}"
        )
    return line
