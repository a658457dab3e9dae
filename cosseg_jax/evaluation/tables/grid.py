"""A table before it is drawn, and its records for JSON."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cosseg_jax.evaluation.results import Spread, figure_json

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Value = str | int | float | Spread | None  # None is drawn as a dash


class Noted(NamedTuple):
    """A value with a footnote. note: the index of its text in the grid's `footnotes`."""

    value: Value
    note: int


Cell = Value | Noted


class Column(NamedTuple):
    """The heading of a column.

    label: one line or two, such as "original\\nP".
    name: in CSV and JSON; by default the label on one line.
    note: as in `Noted`.
    text: whether the column holds words, not numbers; the first column always does.
    """

    label: str
    name: str = ""
    note: int | None = None
    text: bool = False

    @property
    def heading(self) -> str:
        """The label on one line."""
        return self.label.replace("\n", " ")

    @property
    def key(self) -> str:
        """The name in CSV and JSON."""
        return self.name or self.heading


class Grid(NamedTuple):
    """A table before it is drawn; its numbers are percent.

    name: short, for CSV and JSON. title: the line above the table.
    parts: its rows, in parts that a line separates.
    footnotes: texts that marks refer to. notes: lines below the table.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    parts: Sequence[Sequence[tuple[Cell, ...]]]
    footnotes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> tuple[str, ...]:
        """The name of each column."""
        return tuple(column.key for column in self.columns)

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """The rows of all parts."""
        return [row for part in self.parts for row in part]


def records(grid: Grid) -> dict[str, Any]:
    """A table for JSON: one object per row, with its footnotes in full under `notes`."""
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
    """A cell without its mark. Floats have one decimal; whole numbers and words are unchanged."""
    value = value_of(cell)
    if value is None:
        return "-"
    if isinstance(value, Spread):
        return f"{value.mean:z.1f} ± {value.std:.1f}"
    return f"{value:z.1f}" if isinstance(value, float) else str(value)


def mark_of(thing: Cell | Column) -> str:
    """The footnote mark of a cell or heading: a superscript number, or nothing."""
    note = thing.note if isinstance(thing, Noted | Column) else None
    return "" if note is None else superscript(note)


def superscript(note: int) -> str:
    """The mark of the footnote with this index."""
    return str(note + 1).translate(SUPERSCRIPTS)
