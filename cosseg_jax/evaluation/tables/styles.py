"""Draws tables: for the terminal, in Markdown, LaTeX and CSV.

LaTeX has what lies outside of a table as comments. CSV is one table whatever is drawn, a line for
each figure, so that any reader takes it whole: table, row, column, value, std, note. Figures have
one decimal, in CSV up to four.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence

from cosseg_jax.errors import check_choice
from cosseg_jax.evaluation.results import Spread
from cosseg_jax.evaluation.tables.grid import (
    Cell,
    Grid,
    Noted,
    mark_of,
    raised,
    spans,
    text_of,
    value_of,
)
from cosseg_jax.evaluation.tables.terminal import terminal

CSV_HEADER = ("table", "row", "column", "value", "std", "note")


def draw(grids: Sequence[Grid], style: str = "terminal") -> str:
    """Draws tables one below the other, in a key of `STYLES`.

    Raises ValueError, listing the styles, for another.
    """
    check_choice("table style", style, STYLES)
    return STYLES[style](grids)


def markdown(grids: Sequence[Grid]) -> str:
    """Pipe tables, each under its title and above its notes."""
    return "\n\n".join("\n".join(_markdown_lines(grid)) for grid in grids)


def _markdown_lines(grid: Grid) -> list[str]:
    rule = ["---" if i == 0 or c.text else "---:" for i, c in enumerate(grid.columns)]
    rows = [
        [column.key + mark_of(column) for column in grid.columns],
        rule,
        *([text_of(cell) + mark_of(cell) for cell in row] for row in grid.rows),
    ]
    lines = [f"**{grid.title}**", ""]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    below = [f"{raised(place)} {text}" for place, text in enumerate(grid.footnotes)]
    below += grid.notes
    return lines + [""] * bool(below) + [f"- {line}" for line in below]


def as_csv(grids: Sequence[Grid]) -> str:
    """A line for each figure, in the columns of `CSV_HEADER`; undefined ones are left out."""
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
                figures = value[:2] if isinstance(value, Spread) else (value, "")
                rounded = [round(f, 4) if isinstance(f, float) else f for f in figures]
                writer.writerow([grid.name, value_of(row[0]), column.key, *rounded, remark])
    return text.getvalue().rstrip("\n")


def latex(grids: Sequence[Grid]) -> str:
    """A `tabular` for each table, without any package; footnotes are its last rows."""
    return "\n\n".join("\n".join(_latex_lines(grid)) for grid in grids)


def _latex_lines(grid: Grid) -> list[str]:
    kinds = "".join("l" if i == 0 or c.text else "r" for i, c in enumerate(grid.columns))
    lines = [f"% {grid.title}", rf"\begin{{tabular}}{{{kinds}}}", r"\hline"]
    if any(column.group for column in grid.columns):
        lines.append(_latex_groups(grid))
    heads = [_escaped(column.label) + _latex_mark(column.note) for column in grid.columns]
    lines.append(" & ".join(heads) + r" \\")
    for part in grid.parts:
        lines.append(r"\hline")
        lines += [" & ".join(map(_latex_cell, row)) + r" \\" for row in part]
    lines.append(r"\hline")
    for place, text in enumerate(grid.footnotes):
        note = rf"\footnotesize {_latex_mark(place)} {_escaped(text)}"
        lines.append(rf"\multicolumn{{{len(kinds)}}}{{l}}{{{note}}} \\")
    return [*lines, r"\end{tabular}", *(f"% {note}" for note in grid.notes)]


def _latex_groups(grid: Grid) -> str:
    runs = spans(grid.columns, range(len(grid.columns)))
    cells = [
        rf"\multicolumn{{{len(places)}}}{{c}}{{{_escaped(group)}}}" if group else ""
        for group, places in runs
    ]
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = _escaped(text_of(cell)) + _latex_mark(cell.note if isinstance(cell, Noted) else None)
    return re.sub(r"^-(?=\d)", "$-$", text)


def _latex_mark(note: int | None) -> str:
    return "" if note is None else f"$^{{{note + 1}}}$"


LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
}


def _escaped(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


STYLES: dict[str, Callable[[Sequence[Grid]], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "csv": as_csv,
    "latex": latex,
}
