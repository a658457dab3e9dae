"""Draws tables for the terminal and in Markdown, LaTeX and CSV.

A terminal table wider than `WIDTH` continues below, each time with its first column. In LaTeX, what
does not belong into the table follows it as comments. CSV is a single table with one line for each
number, whatever is drawn: table, row, column, value, std, note. Numbers have one decimal, in CSV
up to four.
"""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

from tabulate import MIN_PADDING, SEPARATING_LINE, tabulate

from cosseg_jax.errors import check_choice
from cosseg_jax.evaluation.results import Spread
from cosseg_jax.evaluation.tables.grid import Grid, Noted, mark_of, superscript, text_of, value_of

WIDTH = 100  # characters in a line of the terminal
CSV_HEADER = ("table", "row", "column", "value", "std", "note")


def draw(grids: Sequence[Grid], style: str = "terminal") -> str:
    """Draws tables one below the other, in a key of `STYLES`.

    Raises a UserError that lists the styles for another one.
    """
    check_choice("table style", style, STYLES)
    return STYLES[style](grids)


def terminal(grids: Sequence[Grid]) -> str:
    """Aligned columns, each table under its title and above its notes."""
    return "\n\n\n".join("\n".join(_terminal_lines(grid)) for grid in grids)


def markdown(grids: Sequence[Grid]) -> str:
    """Pipe tables, each under its title and above its notes."""
    return "\n\n".join("\n".join(_markdown_lines(grid)) for grid in grids)


def latex(grids: Sequence[Grid]) -> str:
    """A `tabular` for each table, which needs no package."""
    return "\n\n".join("\n".join(_latex_lines(grid)) for grid in grids)


def as_csv(grids: Sequence[Grid]) -> str:
    """One line per number, in the columns of `CSV_HEADER`; undefined ones are left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for grid in grids:
        for row in grid.rows:
            for column, cell in zip(grid.columns[1:], row[1:], strict=True):
                value = value_of(cell)
                if value is None or isinstance(value, str):
                    continue
                note = cell.note if isinstance(cell, Noted) else column.note
                remark = "" if note is None else grid.footnotes[note]
                numbers = value[:2] if isinstance(value, Spread) else (value, "")
                rounded = [round(x, 4) if isinstance(x, float) else x for x in numbers]
                writer.writerow([grid.name, value_of(row[0]), column.key, *rounded, remark])
    return text.getvalue().rstrip("\n")


def _terminal_lines(grid: Grid) -> list[str]:
    heads = [column.label + mark_of(column) for column in grid.columns]
    rows = _texts(grid)
    widths = [
        max(MIN_PADDING + max(map(len, head.split("\n"))), *(len(row[place]) for row in rows))
        for place, head in enumerate(heads)
    ]
    lines = [grid.title]
    for places in _blocks(widths):
        lines += ["", *_drawn(grid, rows, heads, places, "simple").splitlines()]
    below = _notes_of(grid)
    return [line.rstrip() for line in lines + [""] * bool(below) + below]


def _markdown_lines(grid: Grid) -> list[str]:
    heads = [column.key + mark_of(column) for column in grid.columns]
    rows = [[text.replace("|", "\\|") for text in row] for row in _texts(grid)]
    table = _drawn(grid, rows, heads, range(len(heads)), "pipe")
    notes = [f"- {note}" for note in _notes_of(grid)]
    return [f"**{grid.title}**", "", table, *([""] * bool(notes)), *notes]


def _latex_lines(grid: Grid) -> list[str]:
    heads = [column.heading + mark_of(column) for column in grid.columns]
    table = _drawn(grid, _texts(grid), heads, range(len(heads)), "latex")
    return [f"% {grid.title}", table, *(f"% {note}" for note in _notes_of(grid))]


def _drawn(
    grid: Grid,
    rows: Sequence[Sequence[str]],
    heads: Sequence[str],
    places: Sequence[int],
    style: str,
) -> str:
    """The columns at `places`, with lines between the parts where the style has them."""
    drawn: list[Any] = []
    start = 0
    for part in grid.parts:
        if drawn and part and style != "pipe":
            drawn.append(SEPARATING_LINE)
        for row in rows[start : start + len(part)]:
            drawn.append([row[place] for place in places])
        start += len(part)
    return tabulate(
        drawn,
        [heads[place] for place in places],
        style,
        disable_numparse=True,
        preserve_whitespace=True,
        colalign=["left" if k == 0 or grid.columns[k].text else "right" for k in places],
    )


def _texts(grid: Grid) -> list[list[str]]:
    """The cells with their marks; in a column with marks, those without one end in a space."""
    marks = [[mark_of(cell) for cell in row] for row in grid.rows]
    widths = [max((len(row[k]) for row in marks), default=0) for k in range(len(grid.columns))]
    return [
        [text_of(c) + m.ljust(w) for c, m, w in zip(row, row_marks, widths, strict=True)]
        for row, row_marks in zip(grid.rows, marks, strict=True)
    ]


def _blocks(widths: Sequence[int]) -> list[list[int]]:
    """The indices of the columns that fit side by side, each time after the first column."""
    blocks = [[0]]
    for place in range(1, len(widths)):
        together = [*blocks[-1], place]
        if len(together) > 2 and sum(widths[k] + 2 for k in together) - 2 > WIDTH:
            blocks.append([0])
        blocks[-1].append(place)
    return blocks


def _notes_of(grid: Grid) -> list[str]:
    footnotes = [f"{superscript(place)} {text}" for place, text in enumerate(grid.footnotes)]
    return [*footnotes, *grid.notes]


STYLES: dict[str, Callable[[Sequence[Grid]], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "csv": as_csv,
    "latex": latex,
}
