"""Writes a report as one HTML page that needs no other file and no network.

Pictures are data URIs; style and script stand in the page. The templates lie beside this file.
Everything that comes from outside (names, paths) is escaped by Jinja2.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from cosseg_jax.drawing import COLD, TINT, VOID_GREYS, WARM
from cosseg_jax.evaluation.metrics import Scores
from cosseg_jax.evaluation.report.photos import PANELS, ShownGroup, best_first
from cosseg_jax.evaluation.results import Result, Spread
from cosseg_jax.evaluation.tables import contents, grid

MOST_HIGHLIGHTS = 6  # best photographs, and worst

_TEMPLATES = Path(__file__).parent / "templates"
_COLOURS = {
    name: "rgb({} {} {})".format(*colour)
    for name, colour in {
        "cold": COLD,
        "warm": WARM,
        "tint": TINT,
        "dark-void": (VOID_GREYS[0],) * 3,
        "light-void": (VOID_GREYS[1],) * 3,
    }.items()
}


def render(
    groups: Sequence[ShownGroup], result: Result, *, split: str = "", sheets: Sequence[str] = ()
) -> str:
    """The page as HTML.

    Args:
        groups: what is shown, in the order of the page.
        result: the figures of the tables; photographs are ranked by its first protocol.
        split: of the data set.
        sheets: names of files in the folder `sheets` beside the page.
    """
    photos = [photo for group in groups for photo in group.photos]
    ranked = best_first(photos, next(iter(result.protocols)))
    classes_table, *paper_tables, group_table = contents.report(result)
    return (
        _environment()
        .get_template("page.html")
        .render(
            result=result,
            split=split,
            sheets=sheets,
            grouping=contents.described(result.grouping),
            protocols=list(result.protocols),
            protocol_notes=contents.PROTOCOL_NOTES,
            classes_table=classes_table._replace(notes=()),  # they stand in the summary
            paper_tables=paper_tables,
            group_table=group_table,
            best=ranked[:MOST_HIGHLIGHTS],
            worst=ranked[::-1][:MOST_HIGHLIGHTS],
            groups=groups,
            first_group={group.category: group.place for group in groups if group.number == 1},
            photographs=len(photos),
            panels=PANELS,
            colours=_COLOURS,
        )
    )


def sortable(scores: Mapping[str, Scores]) -> str:
    """J and P of each protocol for the page's script, empty where undefined: `61.2500,93.1,...`."""
    values = [value for P, J in scores.values() for value in (J, P)]
    return ",".join("" if value is None else f"{value:.4f}" for value in values)


def jpeg_uri(content: bytes) -> str:
    """A JPEG file as the address of itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": grid.text_of,
        "mark": grid.mark_of,
        "raised": grid.raised,
        "headings": _headings,
        "mean": _mean,
        "sortable": sortable,
        "jpeg": jpeg_uri,
    }
    return environment


def _headings(table: grid.Grid) -> list[tuple[str, int]]:
    """The upper headings of a table, each with the number of columns below it."""
    spans = grid.spans(table.columns, range(len(table.columns)))
    return [(group, len(places)) for group, places in spans]


def _mean(cell: grid.Cell) -> float | None:
    """What a bar shows of a figure; None for what is no number."""
    value = grid.value_of(cell)
    if isinstance(value, Spread):
        return value.mean
    return None if value is None or isinstance(value, str) else float(value)
