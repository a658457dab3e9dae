"""Draws tables in columns of characters.

Headings of groups stand centred over their columns. The columns of a table wider than `WIDTH` go on
below, each time with the first column.
"""

from collections.abc import Sequence

from cosseg_jax.evaluation.tables.grid import Cell, Column, Grid, mark_of, raised, spans, text_of

WIDTH = 100
GAP = "  "


def terminal(grids: Sequence[Grid]) -> str:
    """All tables, with a blank line between them."""
    return "\n\n\n".join("\n".join(_lines(grid)) for grid in grids)


def _lines(grid: Grid) -> list[str]:
    heads = [column.label + mark_of(column) for column in grid.columns]
    texts = [_aligned([row[place] for row in grid.rows]) for place in range(len(heads))]
    widths = [max(map(len, (head, *cells))) for head, cells in zip(heads, texts, strict=True)]
    widths = _widened(grid.columns, widths)

    lines = [grid.title]
    for places in _blocks(grid.columns, widths):
        lines += ["", *_block(grid, places, heads, texts, widths)]
    if grid.footnotes or grid.notes:
        lines.append("")
    lines += [f"{raised(place)} {text}" for place, text in enumerate(grid.footnotes)]
    return [line.rstrip() for line in (*lines, *grid.notes)]


def _aligned(cells: Sequence[Cell]) -> list[str]:
    """A column's texts; where some are marked, the others end a space earlier."""
    marks = [mark_of(cell) for cell in cells]
    width = max(map(len, marks), default=0)
    return [text_of(cell) + mark.ljust(width) for cell, mark in zip(cells, marks, strict=True)]


def _widened(columns: Sequence[Column], widths: Sequence[int]) -> list[int]:
    """Makes room for the headings of groups."""
    result = list(widths)
    for group, places in spans(columns, range(len(columns))):
        result[places[-1]] += max(0, len(group) - _total(result, places))
    return result


def _blocks(columns: Sequence[Column], widths: Sequence[int]) -> list[list[int]]:
    """The places of the columns that stand side by side; pairs of a group are not torn apart."""
    units: list[list[int]] = []
    for _, places in spans(columns, range(1, len(columns))):
        units += [places] if len(places) == 2 else [[place] for place in places]
    blocks = [[0]]
    for unit in units:
        if len(blocks[-1]) > 1 and _total(widths, blocks[-1] + unit) > WIDTH:
            blocks.append([0])
        blocks[-1] += unit
    return blocks


def _block(
    grid: Grid,
    places: Sequence[int],
    heads: Sequence[str],
    texts: Sequence[Sequence[str]],
    widths: Sequence[int],
) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return GAP.join(
            cell.ljust(widths[place])
            if place == 0 or grid.columns[place].text
            else cell.rjust(widths[place])
            for place, cell in zip(places, cells, strict=True)
        )

    groups = GAP.join(
        group.center(_total(widths, members)) for group, members in spans(grid.columns, places)
    )
    lines = [groups] * bool(groups.strip()) + [line([heads[place] for place in places])]
    row = 0
    for part in grid.parts:
        lines.append("-" * _total(widths, places))
        lines += [line([texts[place][i] for place in places]) for i in range(row, row + len(part))]
        row += len(part)
    return lines


def _total(widths: Sequence[int], places: Sequence[int]) -> int:
    return sum(widths[place] for place in places) + len(GAP) * (len(places) - 1)
