"""Renders a report as one HTML page that needs no other file and no network.

Images are data URIs; the style and the script are part of the page. The templates are in the folder
beside this file. Jinja2 escapes everything that comes from outside (names, paths).
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from cosseg_jax.evaluation.metrics import Scores
from cosseg_jax.evaluation.report.panels import PANELS, ReportGroup, best_first
from cosseg_jax.evaluation.results import Result, Spread
from cosseg_jax.evaluation.tables import contents, grid
from cosseg_jax.predict.drawing import COLD, TINT, VOID_GREYS, WARM

MAX_HIGHLIGHTS = 6  # of the best images, and of the worst

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
    groups: Sequence[ReportGroup], result: Result, *, split: str = "", sheets: Sequence[str] = ()
) -> str:
    """The page as HTML.

    Args:
        groups: the groups to show, in the order of the page.
        result: the metrics for the tables; images are ranked by its first protocol.
        split: of the data set.
        sheets: file names in the folder `sheets` beside the page.
    """
    images = [image for group in groups for image in group.images]
    ranked = best_first(images, next(iter(result.protocols)))
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
            classes_table=classes_table._replace(notes=()),  # the summary has them
            paper_tables=paper_tables,
            group_table=group_table,
            best=ranked[:MAX_HIGHLIGHTS],
            worst=ranked[::-1][:MAX_HIGHLIGHTS],
            groups=groups,
            first_group={group.category: group.place for group in groups if group.number == 1},
            count=len(images),
            p_and_j=contents.P_AND_J,
            panels=PANELS,
            colours=_COLOURS,
        )
    )


def sortable(scores: Mapping[str, Scores]) -> str:
    """J and P of each protocol for the page's script, empty where undefined: `61.25,,...`."""
    values = [value for P, J in scores.values() for value in (J, P)]
    return ",".join("" if value is None else f"{value:.4f}" for value in values)


def jpeg_uri(content: bytes) -> str:
    """A JPEG file as a data URI."""
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
        "superscript": grid.superscript,
        "bar": bar_length,
        "sortable": sortable,
        "jpeg": jpeg_uri,
    }
    return environment


def bar_length(cell: grid.Cell) -> float | None:
    """The number that a bar shows, the mean of a spread; None for anything else."""
    value = grid.value_of(cell)
    if isinstance(value, Spread):
        return value.mean
    return None if value is None or isinstance(value, str) else float(value)
