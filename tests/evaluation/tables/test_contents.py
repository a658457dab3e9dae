"""The contents of the tables, and the paper's numbers as transcribed."""

import pytest
from toy_results import EVALUATION, result_of

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.evaluation import paper
from cosseg_jax.evaluation.metrics import PROTOCOLS
from cosseg_jax.evaluation.results import PJ, Summary
from cosseg_jax.evaluation.tables import contents
from cosseg_jax.evaluation.tables.grid import Grid, Noted, value_of


def row_of(grid: Grid, name: str) -> dict:
    """The values of a row by column; `name` is its first cell."""
    rows = [row for row in grid.rows if row[0] == name]
    assert len(rows) == 1, [row[0] for row in grid.rows]
    return dict(zip(grid.header, map(value_of, rows[0]), strict=True))


def test_per_class_table_shows_the_papers_networks_beside_ours():
    grid = contents.per_class(EVALUATION, "pascal")
    assert grid.header == (
        *("class", "original P", "original J", "ssnm P", "ssnm J"),
        *("paper VGG16 J", "paper HRNet J"),
    )
    assert grid.rows == [
        ("average", 91.25, 50.5, 90.0, 49.0, 66, 71),
        ("bird", 92.0, 61.04, 91.0, 59.0, 75, 74),
        ("cow", 90.5, None, 89.0, 0.0, 86, 87),
    ]


def test_a_data_set_that_the_paper_lacks_has_only_our_columns():
    grid = contents.per_class(EVALUATION, "shapes")
    assert grid.header == ("class", "original P", "original J", "ssnm P", "ssnm J")
    assert len(contents.per_method(EVALUATION, "shapes").rows) == 2
    names = [grid.name for grid in contents.report(result_of("shapes"))]
    assert names == ["shapes", "shapes group"]


def test_method_table_ends_with_this_checkpoint_by_protocol():
    rows = contents.per_method(EVALUATION, "pascal").rows
    assert rows[0] == ("Faktor and Irani 2013", 84.0, 46)
    assert rows[-3:] == [
        ("paper, HRNet", 94.9, 71),
        ("this checkpoint, original", 91.25, 50.5),
        ("this checkpoint, ssnm", 90.0, 49.0),
    ]


@pytest.mark.parametrize("name", paper.TABLES)
def test_the_papers_table_is_complete_and_ends_with_our_two_rows(name: str):
    table, grid = paper.TABLES[name], contents.beside_paper(result_of(name))
    methods = [row.method for row in table.rows]
    ours = ["this checkpoint, ssnm", "this checkpoint, original"]
    assert [row[0] for row in grid.rows] == methods + ours
    assert grid.name == f"table {table.number}"
    for row in table.rows:
        found = row_of(grid, row.method)
        assert found["J"] == row.J
        for letter, by_class in (("P", row.per_class_P), ("J", row.per_class_J)):
            for category, value in zip(table.classes, by_class, strict=False):
                assert found[f"{category} {letter}"] == value


def test_our_rows_use_the_papers_columns():
    grid = contents.beside_paper(result_of("msrc"))
    assert grid.rows[-2:] == [
        ("this checkpoint, ssnm", 90.0, 49.0),
        ("this checkpoint, original", 91.25, 50.5),
    ]
    row = row_of(contents.beside_paper(result_of("pascal")), "this checkpoint, original")
    assert (row["J"], row["bird J"], row["cow J"], row["cat J"]) == (50.5, 61.04, None, None)


def test_table_2_shows_our_P_of_a_class():
    car = {"car": PJ(80.0, 40.0)}
    result = result_of("internet")._replace(
        protocols={name: Summary(70.0, 30.0, car) for name in ("original", "ssnm")}
    )
    row = row_of(contents.beside_paper(result), "this checkpoint, ssnm")
    assert (row["P"], row["car P"], row["car J"], row["horse P"]) == (70.0, 80.0, 40.0, None)


def test_the_erratum_of_table_2_is_applied_and_marked():
    grid = contents.beside_paper(result_of("internet"))
    (row,) = (row for row in grid.rows if row[0] == paper.OURS_HRNET)
    cell = row[grid.header.index("car J")]
    assert isinstance(cell, Noted)
    assert cell.value == 73.9
    assert "82.5 in print" in grid.footnotes[cell.note]
    assert row[grid.header.index("J")] == 71.2


def test_a_number_that_its_authors_report_differently_is_marked_in_table_1():
    grid = contents.beside_paper(result_of("msrc"))
    (row,) = (row for row in grid.rows if row[0] == "Li et al. 2018")
    assert row[:2] == ("Li et al. 2018", 92.4)
    assert row[2] == Noted(79.9, 0)
    assert "95.4 / 82.9" in grid.footnotes[0]


def test_averages_that_the_paper_does_not_print_are_marked():
    grid = contents.beside_paper(result_of("internet"))
    note = grid.columns[1].note
    assert note is not None
    assert "no average" in grid.footnotes[note]


def test_a_report_explains_what_it_prints():
    first, second, third = contents.report(result_of(differences=("9 cows, the paper has 34",)))
    assert first.title.startswith("pascal: 12 photos in 3 groups, consecutive fives")
    assert first.notes[0] == contents.P_AND_J
    for name in EVALUATION.protocols:
        assert f"{name}: {contents.PROTOCOL_NOTES[name]}" in first.notes
    assert "pascal differs from the paper's: 9 cows, the paper has 34" in first.notes
    assert (second.name, third.name) == ("table 4", "pascal group")


@pytest.mark.parametrize(
    ("grouping", "text"),
    [
        (Grouping(size=3), "consecutive groups of 3"),
        (Grouping("whole"), "each class as one group"),
        (Grouping("random", 4, seed=2), "over 4 random partitions into fives, seed 2"),
    ],
)
def test_the_title_names_the_grouping(grouping: Grouping, text: str):
    assert text in contents.report(result_of(grouping=grouping))[0].title


def test_every_protocol_has_a_note():
    assert contents.PROTOCOL_NOTES.keys() == PROTOCOLS.keys()


def test_group_dependence_leaves_out_what_was_not_computed():
    group = {"shared_J": None, "shared_entries": 0, "shared_images": 0, "gain_alone": -1.5}
    grid = contents.group_dependence(result_of(group=group))
    assert [row[:2] for row in grid.rows] == [("shared_J", None), ("gain_alone", -1.5)]


def test_shared_J_says_how_many_masks_it_covers():
    (row,) = contents.group_dependence(result_of()).rows
    assert row[:2] == ("shared_J", 30.0)
    assert "4 masks of 2 photos" in str(row[2])


def test_benchmarks_have_the_papers_tables_and_a_row_per_data_set():
    results = [result_of("msrc"), result_of("pascal")]
    grids = contents.benchmarks(results, {"icoseg": "not there"})
    assert [grid.name for grid in grids] == [
        *("table 1", "msrc group", "table 4", "pascal group", "all")
    ]
    assert grids[-1].rows[0] == ("msrc", 12, 91.25, 50.5, 90.0, 49.0, 30.0)
    assert "icoseg" in grids[-1].notes[-1]
    assert "cosseg_jax.data.prepare" in grids[-1].notes[-1]


def test_a_difference_from_the_papers_data_is_noted_under_its_table():
    grids = contents.benchmarks([result_of("msrc", differences=("9 cows",))], {})
    assert "msrc differs from the paper's: 9 cows" in grids[0].notes


def test_table_5_has_the_papers_numbers_beside_each_variant():
    group = {"shared_J": 30.0, "shared_entries": 4, "shared_images": 2, "gain_unmodulated": 9.0}
    variants = {name: result_of(group=group) for name in paper.ABLATION}
    variants["neither"] = result_of()
    grid = contents.ablation(variants, ["full was trained otherwise"])
    assert grid.header == (
        *("variant", "paper P", "paper J", "ssnm P", "ssnm J", "original P", "original J"),
        *("shared_J", "gain_unmodulated"),
    )
    assert grid.rows[0] == ("full", 94.9, 71, 90.0, 49.0, 91.25, 50.5, 30.0, 9.0)
    assert grid.rows[3] == ("neither", 82.0, 27, 90.0, 49.0, 91.25, 50.5, 30.0, None)
    assert "full was trained otherwise" in grid.notes


ROWS = [(name, row) for name, table in paper.TABLES.items() for row in table.rows]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[f"{n}-{r.method}" for n, r in ROWS])
def test_a_published_row_has_a_number_for_each_class(name: str, row: paper.Published):
    count = len(paper.TABLES[name].classes)
    assert len(row.per_class_J) in (0, count)
    assert len(row.per_class_P) in (0, count)


@pytest.mark.parametrize("name", paper.TABLES)
def test_a_footnote_marks_a_column_that_the_table_has(name: str):
    table = paper.TABLES[name]
    for footnote in table.footnotes:
        assert footnote.method in ("", *(row.method for row in table.rows))
        assert footnote.column in contents.beside_paper(result_of(name)).header


# Rows whose printed average is not that of the printed classes (their classes or images differ).
OTHER_AVERAGE = {
    ("icoseg", "Faktor and Irani 2013"),
    ("icoseg", "Jerripothula et al. 2016"),
    ("icoseg", paper.OURS_HRNET),
    ("pascal", "Faktor and Irani 2013"),
    ("pascal", paper.OURS_VGG16),
    ("pascal", paper.OURS_HRNET),
}


@pytest.mark.parametrize("name", ["icoseg", "pascal"])
def test_published_classes_average_to_the_printed_average(name: str):
    """A mistyped number would show here."""
    for row in paper.TABLES[name].rows:
        if row.per_class_J and (name, row.method) not in OTHER_AVERAGE:
            mean = sum(J for J in row.per_class_J if J is not None) / len(row.per_class_J)
            assert abs((row.J or 0.0) - mean) <= 0.6, row.method
