"""Tables as they are drawn, and as other programs read them."""

import csv
import io

import pytest
from toy_results import result_of

from cosseg_jax.errors import UserError
from cosseg_jax.evaluation.results import Spread
from cosseg_jax.evaluation.tables import contents, styles
from cosseg_jax.evaluation.tables.grid import Column, Grid, Noted, records
from cosseg_jax.evaluation.tables.styles import WIDTH

GRID = Grid(
    "demo",
    "A demonstration",
    (
        Column("class"),
        Column("original\nP"),
        Column("original\nJ"),
        Column("paper_1\nJ", name="paper J"),
        Column("what", text=True),
    ),
    (
        [("average", 91.25, 50.0, 71, "all & sundry")],
        [("cow", 100.0, None, Noted(73.9, 0), "x|y")],
    ),
    footnotes=("82.5 in print",),
    notes=("a note",),
)
SPREAD = Grid("g", "t", (Column("class"), Column("J")), ([("cow", Spread(51.26, 0.44, ()))],))


def test_terminal():
    assert styles.draw([GRID]).splitlines() == [
        "A demonstration",
        "",
        "class      original    original    paper_1  what",
        "                  P           J          J",
        "-------  ----------  ----------  ---------  ------------",
        "average        91.2        50.0        71   all & sundry",
        "-------  ----------  ----------  ---------  ------------",
        "cow           100.0           -      73.9¹  x|y",
        "",
        "¹ 82.5 in print",
        "a note",
    ]


def test_markdown():
    assert styles.draw([GRID], "markdown").splitlines() == [
        "**A demonstration**",
        "",
        "| class   |   original P |   original J |   paper J | what         |",
        "|:--------|-------------:|-------------:|----------:|:-------------|",
        "| average |         91.2 |         50.0 |       71  | all & sundry |",
        "| cow     |        100.0 |            - |     73.9¹ | x\\|y         |",
        "",
        "- ¹ 82.5 in print",
        "- a note",
    ]


def test_latex():
    assert styles.draw([GRID], "latex").splitlines() == [
        "% A demonstration",
        r"\begin{tabular}{lrrrl}",
        r"\hline",
        r" class   &   original P &   original J &   paper\_1 J & what         \\",
        r"\hline",
        r" average &         91.2 &         50.0 &         71  & all \& sundry \\",
        r"\hline",
        r" cow     &        100.0 &            - &       73.9¹ & x|y          \\",
        r"\hline",
        r"\end{tabular}",
        "% ¹ 82.5 in print",
        "% a note",
    ]


def test_csv():
    assert styles.draw([GRID], "csv").splitlines() == [
        "table,row,column,value,std,note",
        "demo,average,original P,91.25,,",
        "demo,average,original J,50.0,,",
        "demo,average,paper J,71,,",
        "demo,cow,original P,100.0,,",
        "demo,cow,paper J,73.9,,82.5 in print",
    ]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("terminal", "cow      51.3 ± 0.4"),
        ("markdown", "| cow     | 51.3 ± 0.4 |"),
        ("latex", r" cow     & 51.3 ± 0.4 \\"),
        ("csv", "g,cow,J,51.26,0.44,"),
    ],
)
def test_a_mean_over_several_partitions(style: str, expected: str):
    assert expected in styles.draw([SPREAD], style).splitlines()


def test_a_number_that_rounds_to_zero_has_no_sign():
    grid = SPREAD._replace(parts=([("gain", -0.04)],))
    assert styles.draw([grid]).split()[-1] == "0.0"


def test_latex_commands_are_escaped():
    grid = SPREAD._replace(parts=([("50%_#{}$&", 1.0)],))
    assert r"50\%\_\#\{\}\$\&" in styles.draw([grid], "latex")


def test_an_unknown_style_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"'html'.*terminal, markdown, csv, latex"):
        styles.draw([GRID], "html")


RESULTS = [result_of(name) for name in ("msrc", "internet", "icoseg", "pascal")]
EVERYTHING = contents.benchmarks(RESULTS, {})


def test_no_table_is_wider_than_the_terminal():
    table_lines = [
        line
        for line in styles.draw(EVERYTHING).splitlines()
        if line.startswith(("---", "method", "this checkpoint", "Jerripothula"))
    ]
    assert max(map(len, table_lines)) <= WIDTH
    assert len(table_lines) > 30


def test_a_wide_table_continues_below_with_its_first_column():
    columns = (Column("class"), *(Column(f"{i}\nprotocol") for i in range(18)))
    grid = Grid("g", "t", columns, ([("cow", *map(float, range(18)))],))
    lines = styles.draw([grid]).splitlines()
    assert sum(line.startswith("class") for line in lines) == 3
    cells = [cell for line in lines if line.startswith("cow") for cell in line.split()[1:]]
    assert cells == [f"{i}.0" for i in range(18)]


def test_csv_of_everything_is_one_table_with_every_number():
    lines = list(csv.DictReader(io.StringIO(styles.draw(EVERYTHING, "csv"))))
    assert all(None not in line and None not in line.values() for line in lines)
    found = {(line["table"], line["row"], line["column"]): line for line in lines}
    assert len(found) == len(lines)
    assert found["table 2", "paper, HRNet", "car J"]["value"] == "73.9"
    assert "82.5" in found["table 2", "paper, HRNet", "car J"]["note"]
    assert found["table 4", "this checkpoint, ssnm", "bird J"]["value"] == "59.0"
    assert found["all", "icoseg", "shared_J"]["value"] == "30.0"


def test_latex_rows_have_as_many_cells_as_columns():
    for table in styles.draw(EVERYTHING, "latex").split(r"\begin{tabular}")[1:]:
        kinds, _, body = table.partition("}")
        for line in body.splitlines():
            if line.endswith(r"\\"):
                assert line.replace(r"\&", "").count("&") == len(kinds) - 2
        assert body.count("{") == body.count("}")


def test_records_for_json():
    assert records(GRID) == {
        "name": "demo",
        "title": "A demonstration",
        "rows": [
            {
                "class": "average",
                "original P": 91.25,
                "original J": 50.0,
                "paper J": 71,
                "what": "all & sundry",
            },
            {
                "class": "cow",
                "original P": 100.0,
                "original J": None,
                "paper J": 73.9,
                "what": "x|y",
                "notes": {"paper J": "82.5 in print"},
            },
        ],
    }
