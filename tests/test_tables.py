"""Tables and JSON of an evaluation, and the paper's figures as transcribed."""

import json

import pytest

from cosseg_jax import published, tables
from cosseg_jax.evaluation import Evaluation
from cosseg_jax.group_figures import Figures
from cosseg_jax.metrics import PROTOCOLS, ProtocolScores, Scores

EVALUATION = Evaluation(
    {
        "original": ProtocolScores(
            91.25, 50.5, {"bird": Scores(92.0, 61.04), "cow": Scores(90.5, None)}
        ),
        "ssnm": ProtocolScores(90.0, 49.0, {"bird": Scores(91.0, 59.0), "cow": Scores(89.0, 0.0)}),
    },
    images=12,
    groups=3,
)


def test_per_class_table_stands_beside_the_papers_own_rows():
    grid = tables.per_class(EVALUATION, "pascal")
    assert grid.header == (
        *("class", "original P", "original J", "ssnm P", "ssnm J"),
        *("paper, VGG16 J", "paper, HRNet J"),
    )
    assert grid.rows == [
        ("average", 91.25, 50.5, 90.0, 49.0, 66, 71),
        ("bird", 92.0, 61.04, 91.0, 59.0, 75, 74),
        ("cow", 90.5, None, 89.0, 0.0, 86, 87),
    ]


def test_a_data_set_that_the_paper_lacks_has_our_columns_only():
    grid = tables.per_class(EVALUATION, "shapes")
    assert grid.header == ("class", "original P", "original J", "ssnm P", "ssnm J")
    assert len(tables.per_method(EVALUATION, "shapes").rows) == 2


def test_method_table_ends_with_this_checkpoint_under_each_protocol():
    rows = tables.per_method(EVALUATION, "pascal").rows
    assert rows[0] == ("Faktor and Irani 2013", 84.0, 46)
    assert rows[-3:] == [
        ("paper, HRNet", 94.9, 71),
        ("this checkpoint, original", 91.25, 50.5),
        ("this checkpoint, ssnm", 90.0, 49.0),
    ]


GRID = tables.Grid(("class", "P", "J"), [("average", 91.25, 50.0), ("cow", 100.0, None)])


def test_terminal_table():
    assert tables.draw(GRID).splitlines() == [
        "class        P     J",
        "--------------------",
        "average   91.2  50.0",
        "cow      100.0     -",
    ]


def test_markdown_table():
    assert tables.draw(GRID, "markdown").splitlines() == [
        "| class | P | J |",
        "| --- | ---: | ---: |",
        "| average | 91.2 | 50.0 |",
        "| cow | 100.0 | - |",
    ]


def test_unknown_style_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'html'.*terminal, markdown"):
        tables.draw(GRID, "html")


def test_report_says_which_protocols_it_prints():
    text = tables.report(EVALUATION, "pascal")
    assert "12 images in 3 groups" in text
    for name in EVALUATION.protocols:
        assert f"{name}: {tables.PROTOCOL_NOTES[name]}" in text


def test_every_protocol_has_a_note():
    assert tables.PROTOCOL_NOTES.keys() == PROTOCOLS.keys()


def test_group_report_leaves_out_what_was_not_computed():
    text = tables.group_report(Figures(shared_J=33.94, shared_entries=220, shared_images=107))
    assert "33.9" in text
    assert "220 entries, 107 photographs" in text
    assert "gain_alone" not in text
    assert tables.group_report(Figures()) == ""


def test_json_has_exactly_the_documented_keys():
    found = tables.as_json(EVALUATION, Figures(shared_J=30.0), "pascal", "some/dir")
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "dataset": "pascal",
        "checkpoint": "some/dir",
        "images": 12,
        "groups": 3,
        "protocols": {
            "original": {
                "P": 91.25,
                "J": 50.5,
                "per_class": {"bird": {"P": 92.0, "J": 61.04}, "cow": {"P": 90.5, "J": None}},
            },
            "ssnm": {
                "P": 90.0,
                "J": 49.0,
                "per_class": {"bird": {"P": 91.0, "J": 59.0}, "cow": {"P": 89.0, "J": 0.0}},
            },
        },
        "group": {
            "shared_J": 30.0,
            "shared_entries": 0,
            "shared_images": 0,
            "foreign_empty": None,
            "foreign_P": None,
            "gain_alone": None,
            "gain_unmodulated": None,
        },
    }


ROWS = [(name, row) for name, table in published.TABLES.items() for row in table.rows]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{n}-{r.method}" for n, r in ROWS])
def test_a_published_row_has_a_figure_for_each_class(name: str, row: published.Published):
    count = len(published.TABLES[name].classes)
    assert len(row.per_class_J) in (0, count)
    assert len(row.per_class_P) in (0, count)


# Rows whose printed average is not that of the printed classes (their classes or images differ).
OTHER_AVERAGE = {
    ("icoseg", "Faktor and Irani 2013"),
    ("icoseg", "Jerripothula et al. 2016"),
    ("icoseg", published.OURS_HRNET),
    ("pascal", "Faktor and Irani 2013"),
    ("pascal", published.OURS_VGG16),
    ("pascal", published.OURS_HRNET),
}


@pytest.mark.parametrize("name", ["icoseg", "pascal"])
def test_published_classes_average_to_the_printed_average(name: str):
    """A slip of the pen in any figure would show here."""
    for row in published.TABLES[name].rows:
        if row.per_class_J and (name, row.method) not in OTHER_AVERAGE:
            mean = sum(J for J in row.per_class_J if J is not None) / len(row.per_class_J)
            assert abs((row.J or 0.0) - mean) <= 0.6, row.method


def test_the_erratum_of_table_2_is_applied():
    row = published.TABLES["internet"].rows[-1]
    assert row.method == published.OURS_HRNET
    assert row.per_class_J == (69.6, 73.9, 70.2)
    assert row.J == 71.2
