"""A table before it is drawn, and its records for JSON."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cosseg_jax.evaluation.results import Spread, figure_json

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Value = str | int | float | Spread | None  # None is drawn as a dash


class Noted(NamedTuple):
    """A value with a mark. note: the place of its text among the footnotes of the grid."""

    value: Value
    note: int


Cell = Value | Noted


class Column(NamedTuple):
    """A column's heading, under that of a group of neighbours.

    name: in CSV and JSON; by default group and label.
    note: as in `Noted`.
    text: whether it holds words, not figures; the first column always does.
    """

    label: str
    group: str = ""
    name: str = ""
    note: int | None = None
    text: bool = False

    @property
    def key(self) -> str:
        """Names the column where it has one heading only."""
        return self.name or f"{self.group} {self.label}".strip()


class Grid(NamedTuple):
    """A table before it is drawn; numbers are percent.

    name: short, for CSV and JSON; title: what stands above it.
    parts: its rows, in parts that lines divide.
    footnotes: texts to which marks refer; notes: lines that stand below it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    parts: Sequence[Sequence[tuple[Cell, ...]]]
    footnotes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The headings, one for each column."""
        return tuple(column.key for column in self.columns)

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """Those of all parts."""
        return [row for part in self.parts for row in part]


def records(grid: Grid) -> dict[str, Any]:
    """A table for JSON: an object for each row, footnotes in full under `notes`."""
    found = []
    for row in grid.rows:
        cells = list(zip(grid.columns, row, strict=True))
        record: dict[str, Any] = {column.key: figure_json(value_of(cell)) for column, cell in cells}
        notes = {c.key: grid.footnotes[cell.note] for c, cell in cells if isinstance(cell, Noted)}
        found.append(record | ({"notes": notes} if notes else {}))
    return {"name": grid.name, "title": grid.title, "rows": found}


def value_of(cell: Cell) -> Value:
    """A cell without its mark."""
    return cell.value if isinstance(cell, Noted) else cell


def text_of(cell: Cell) -> str:
    """A cell without its mark, with one decimal; whole numbers and words as they are."""
    value = value_of(cell)
    if value is None:
        return "-"
    if isinstance(value, Spread):
        return f"{value.mean:z.1f} ± {value.std:.1f}"
    return f"{value:z.1f}" if isinstance(value, float) else str(value)


def mark_of(thing: Cell | Column) -> str:
    """The mark of a cell or heading: a raised number, or nothing."""
    note = thing.note if isinstance(thing, Noted | Column) else None
    return "" if note is None else raised(note)


def raised(note: int) -> str:
    """The mark of a footnote, from its place."""
    return str(note + 1).translate(SUPERSCRIPTS)


def spans(columns: Sequence[Column], places: Iterable[int]) -> list[tuple[str, list[int]]]:
    """Runs of neighbours of one group; a column without a group is a run of its own."""
    found: list[tuple[str, list[int]]] = []
    for place in places:
        group = columns[place].group
        if group and found and found[-1][0] == group:
            found[-1][1].append(place)
        else:
            found.append((group, [place]))
    return found
