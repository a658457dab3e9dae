"""Lays our figures beside the paper's: tables for the terminal or Markdown, and the JSON.

The paper's rows were computed with its released code, that is under `ssnm`; where they stand beside
`original`, the comparison is not exact.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cosseg_jax.evaluation import Evaluation
from cosseg_jax.group_figures import Figures
from cosseg_jax.options import check_choice
from cosseg_jax.published import OURS_HRNET, OURS_VGG16, TABLES

Cell = str | float | None

PROTOCOL_NOTES = {
    "original": "own size, p > 0.5, J without images that lack the object, mean of the classes",
    "ssnm": "224 x 224, p > min(mean + std, 0.8), mean of all images: the paper's own way",
    "ufo": "224 x 224, p > min(mean + std, 0.5), mean of all images",
    "pooled": "own size, p > 0.5, pixels of a class pooled, mean of the classes",
}


class Grid(NamedTuple):
    """A table before it is drawn; numbers are percent."""

    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


def per_class(evaluation: Evaluation, dataset: str) -> Grid:
    """One row a class and the average first: our P and J, then the paper's own J."""
    paper = _published_by_class(dataset)
    header = ["class"]
    header += [f"{name} {letter}" for name in evaluation.protocols for letter in "PJ"]
    header += [f"{method} J" for method in paper]
    every = [scores.per_class for scores in evaluation.protocols.values()]
    averages = [value for scores in evaluation.protocols.values() for value in scores[:2]]
    rows = [("average", *averages, *(by_class[None] for by_class in paper.values()))]
    for name in dict.fromkeys(name for classes in every for name in classes):
        ours = [value for classes in every for value in classes.get(name, (None, None))]
        rows.append((name, *ours, *(by_class.get(name) for by_class in paper.values())))
    return Grid(tuple(header), rows)


def per_method(evaluation: Evaluation, dataset: str) -> Grid:
    """The paper's whole table of averages for the data set, and our row for each protocol."""
    rows: list[tuple[Cell, ...]] = []
    if dataset in TABLES:
        rows += [(row.method, row.P, row.J) for row in TABLES[dataset].rows]
    rows += [
        (f"this checkpoint, {name}", scores.P, scores.J)
        for name, scores in evaluation.protocols.items()
    ]
    return Grid(("method", "P", "J"), rows)


def draw(grid: Grid, style: str = "terminal") -> str:
    """Draws a table; numbers with one decimal, a dash where there is none.

    style: a key of `STYLES`. Raises ValueError, listing them, for another.
    """
    check_choice("table style", style, STYLES)
    cells = [tuple(_text(cell) for cell in row) for row in grid.rows]
    return STYLES[style](grid.header, cells)


def report(evaluation: Evaluation, dataset: str, style: str = "terminal") -> str:
    """Everything that the command line prints of an evaluation."""
    title = f"{dataset}: {evaluation.images} images in {evaluation.groups} groups; P, J in percent"
    notes = [f"{name}: {PROTOCOL_NOTES[name]}" for name in evaluation.protocols]
    parts = [title, draw(per_class(evaluation, dataset), style), "\n".join(notes)]
    if dataset in TABLES:
        heading = f"Table {TABLES[dataset].number} of the paper, averages:"
        parts += [heading, draw(per_method(evaluation, dataset), style)]
    return "\n\n".join(parts)


def group_report(figures: Figures, style: str = "terminal") -> str:
    """What the network owes to its groups: the figures that were computed, or an empty text."""
    notes = {
        "shared_J": f"J where the photograph is in several classes ({figures.shared_entries} "
        f"entries, {figures.shared_images} photographs)",
        "foreign_empty": "share of masks near empty in a group of another class",
        "foreign_P": "P in a group of another class",
        "gain_alone": "J in its group minus J alone",
        "gain_unmodulated": "J minus J of the network without modulators",
    }
    values = figures._asdict()
    rows: list[tuple[Cell, ...]] = [
        (name, values[name], note) for name, note in notes.items() if values[name] is not None
    ]
    if not rows:
        return ""
    return "\n" + draw(Grid(("figure", "", "what the network owes to its group"), rows), style)


def as_json(
    evaluation: Evaluation, figures: Figures, dataset: str, checkpoint: str
) -> dict[str, Any]:
    """The figures as JSON takes them: percent, None where undefined."""
    return {
        "dataset": dataset,
        "checkpoint": checkpoint,
        "images": evaluation.images,
        "groups": evaluation.groups,
        "protocols": {
            name: {
                "P": scores.P,
                "J": scores.J,
                "per_class": {
                    category: figures._asdict() for category, figures in scores.per_class.items()
                },
            }
            for name, scores in evaluation.protocols.items()
        },
        "group": figures._asdict(),
    }


def _published_by_class(dataset: str) -> dict[str, dict[str | None, float | None]]:
    """J of the paper's two networks by class; the average under None."""
    if dataset not in TABLES:
        return {}
    table = TABLES[dataset]
    return {
        row.method: {None: row.J, **dict(zip(table.classes, row.per_class_J, strict=False))}
        for row in table.rows
        if row.method in (OURS_VGG16, OURS_HRNET)
    }


def _text(cell: Cell) -> str:
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else f"{cell:.1f}"


def _terminal(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)])

    return "\n".join([line(header), "-" * len(line(header)), *map(line, rows)])


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


STYLES: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], str]] = {
    "terminal": _terminal,
    "markdown": _markdown,
}
