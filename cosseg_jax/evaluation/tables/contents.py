"""The contents of the tables: our metrics beside the paper's."""

from collections.abc import Iterable, Mapping, Sequence

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.evaluation.benchmark import ALWAYS, how_to_prepare
from cosseg_jax.evaluation.evaluator import Evaluation
from cosseg_jax.evaluation.paper import ABLATION, OURS_HRNET, OURS_VGG16, TABLES, Published, Table
from cosseg_jax.evaluation.results import PJ, Result
from cosseg_jax.evaluation.saliency import SaliencyScores
from cosseg_jax.evaluation.tables.grid import Cell, Column, Grid, Noted

P_AND_J = "P is pixel accuracy, J is IoU (Jaccard) of the object; both in percent"

PROTOCOL_NOTES = {
    "original": "own size, p > 0.5, J without photos that lack the object, mean of the classes",
    "ssnm": "224 x 224, p > min(mean + std, 0.8), mean of all photos: the paper's protocol",
    "ufo": "224 x 224, p > min(mean + std, 0.5), mean of all photos",
    "pooled": "own size, p > 0.5, pixels of a class pooled, mean of the classes",
}

PAPERS_PROTOCOL = "The paper reports ssnm; comparing its numbers with original is not exact."

GROUP_NOTES = {
    "shared_J": "J over the photos that occur in several classes",
    "foreign_empty": "share of near-empty masks in a group of another class",
    "foreign_P": "P in a group of another class",
    "gain_alone": "J in its group minus J alone",
    "gain_unmodulated": "J minus J of the network without modulators",
}


SALIENCY_LABELS = {
    "s_measure": "S",
    "max_f": "max\nF",
    "mean_f": "mean\nF",
    "max_e": "max\nE",
    "mean_e": "mean\nE",
    "mae": "MAE",
}
SALIENCY_NOTE = (
    "Of the probability maps, stretched to 0..1, never emptied; max and mean over 256 thresholds "
    "of the photos' mean curve; MAE is better when lower. Published numbers mostly take each class "
    "as one group: --grouping whole"
)


def report(result: Result) -> list[Grid]:
    """The tables of one data set."""
    title = (
        f"{result.dataset}: {result.images} photos in {result.groups} groups, "
        f"{described(result.grouping)}"
    )
    notes = (*_metric_notes(result.protocols), *_differences(result))
    grids = [per_class(result, result.dataset)._replace(title=title, notes=notes)]
    if result.dataset in TABLES:
        grids.append(beside_paper(result)._replace(notes=(PAPERS_PROTOCOL,)))
    return [*grids, group_dependence(result)]


def benchmarks(results: Sequence[Result], missing: Mapping[str, str]) -> list[Grid]:
    """The paper's tables with our rows, the group-dependence metrics, and one row per data set."""
    grids: list[Grid] = []
    for result in results:
        if result.dataset in TABLES:
            grids.append(beside_paper(result))
        grids.append(group_dependence(result))
    return [*grids, all_data_sets(results, missing)]


def saliency(scores: Mapping[str, SaliencyScores]) -> Grid:
    """The measures of co-salient object detection, one row per data set."""
    columns = [Column("data set"), Column("photos", "images")]
    columns += [Column(label, name) for name, label in SALIENCY_LABELS.items()]
    rows: list[tuple[Cell, ...]] = [
        (dataset, found.images, *(getattr(found, name) for name in SALIENCY_LABELS))
        for dataset, found in scores.items()
    ]
    title = "Measures of co-salient object detection, in percent"
    return Grid("saliency", title, tuple(columns), (rows,), notes=(SALIENCY_NOTE,))


def per_class(evaluation: Evaluation | Result, dataset: str) -> Grid:
    """The average and one row per class: our P and J, then J of the paper's networks."""
    paper = _published_by_class(dataset)
    columns = [Column("class")]
    columns += [Column(f"{name}\n{letter}") for name in evaluation.protocols for letter in "PJ"]
    columns += [Column(method.replace(", ", "\n") + " J") for method in paper]
    every = [scores.per_class for scores in evaluation.protocols.values()]
    averages = [value for scores in evaluation.protocols.values() for value in scores[:2]]
    average = ("average", *averages, *(by_class[None] for by_class in paper.values()))
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(name for classes in every for name in classes):
        ours = [value for classes in every for value in classes.get(name, (None, None))]
        rows.append((name, *ours, *(by_class.get(name) for by_class in paper.values())))
    return Grid(dataset, f"{dataset}: P and J by class", tuple(columns), ([average], rows))


def per_method(evaluation: Evaluation | Result, dataset: str) -> Grid:
    """The averages in the paper's table for the data set, and one row of ours per protocol."""
    published = TABLES[dataset].rows if dataset in TABLES else ()
    rows = [(row.method, row.P, row.J) for row in published]
    ours = [
        (f"this checkpoint, {name}", *scores[:2]) for name, scores in evaluation.protocols.items()
    ]
    columns = (Column("method"), Column("P"), Column("J"))
    return Grid(f"{dataset} methods", f"{dataset}: averages", columns, (rows, ours))


def beside_paper(result: Result) -> Grid:
    """The paper's whole table for the data set, with our rows for the protocols of `ALWAYS`."""
    table = TABLES[result.dataset]
    columns = _paper_columns(table)
    ours = [
        ("this checkpoint, " + name, *(_our_cell(result, name, c) for c in columns[1:]))
        for name in reversed(ALWAYS)
    ]
    return Grid(
        f"table {table.number}",
        f"Table {table.number} of the paper, {table.title}, with this checkpoint",
        tuple(columns),
        ([_paper_row(table, row, columns) for row in table.rows], ours),
        footnotes=tuple(dict.fromkeys(note.text for note in table.footnotes)),
        notes=(PAPERS_PROTOCOL, *_differences(result)),
    )


def group_dependence(result: Result) -> Grid:
    """The group-dependence metrics, as far as they were computed."""
    rows: list[tuple[Cell, ...]] = []
    for name, note in GROUP_NOTES.items():
        if name in result.group:
            counts = "{shared_entries} masks of {shared_images} photos"
            suffix = f" ({counts.format(**result.group)})" if name == "shared_J" else ""
            rows.append((name, result.group[name], note + suffix))
    columns = (Column("metric"), Column("value"), Column("meaning", text=True))
    title = f"{result.dataset}: whether the network uses its groups"
    return Grid(f"{result.dataset} group", title, columns, (rows,))


def all_data_sets(results: Sequence[Result], missing: Mapping[str, str]) -> Grid:
    """One row per data set: P and J under all protocols, and the group-dependence metrics."""
    protocols = list(results[0].protocols)
    metrics = [name for name in GROUP_NOTES if any(name in result.group for result in results)]
    columns = [Column("data set"), Column("photos", "images")]
    columns += [Column(f"{name}\n{letter}") for name in protocols for letter in "PJ"]
    columns += [_metric_column(name) for name in metrics]
    rows: list[tuple[Cell, ...]] = []
    for result in results:
        scores = [value for name in protocols for value in result.protocols[name][:2]]
        dependence = [result.group.get(name) for name in metrics]
        rows.append((result.dataset, result.images, *scores, *dependence))
    absent = [f"not found: {', '.join(missing)}; prepare each with {how_to_prepare('NAME')}"]
    title = f"All data sets, {described(results[0].grouping)}"
    notes = (*_metric_notes(protocols), *(absent if missing else ()))
    return Grid("all", title, tuple(columns), (rows,), notes=notes)


def ablation(results: Mapping[str, Result], notes: Sequence[str] = ()) -> Grid:
    """Table 5: the network with and without its modulators, beside the paper's numbers.

    results: by variant, in the order of the rows.
    """
    first = next(iter(results.values()))
    metrics = [name for name in GROUP_NOTES if any(name in r.group for r in results.values())]
    columns = [Column("variant")]
    for scored in ("paper", *reversed(ALWAYS)):
        columns += [Column(f"{scored}\n{letter}") for letter in "PJ"]
    columns += [_metric_column(name) for name in metrics]
    rows: list[tuple[Cell, ...]] = []
    for variant, result in results.items():
        scores = [value for name in reversed(ALWAYS) for value in result.protocols[name][:2]]
        dependence = [result.group.get(name) for name in metrics]
        rows.append((variant, ABLATION[variant].P, ABLATION[variant].J, *scores, *dependence))
    title = f"Table 5 of the paper, the modulators; {first.dataset}, {described(first.grouping)}"
    elsewhere = () if first.dataset == "pascal" else ("The paper's numbers are for pascal.",)
    return Grid(
        "table 5",
        title,
        tuple(columns),
        (rows,),
        notes=(*_metric_notes(ALWAYS), PAPERS_PROTOCOL, *elsewhere, *_differences(first), *notes),
    )


def described(grouping: Grouping) -> str:
    """A grouping in words."""
    size = "fives" if grouping.size == 5 else f"groups of {grouping.size}"
    return {
        "fives": f"consecutive {size}",
        "whole": "each class as one group",
        "random": f"mean ± standard deviation over {grouping.repeats} random partitions into "
        f"{size}, seed {grouping.seed}",
    }[grouping.way]


def _metric_column(name: str) -> Column:
    return Column(name.replace("_", "\n"), name)


def _metric_notes(protocols: Iterable[str]) -> tuple[str, ...]:
    return (P_AND_J, *(f"{name}: {PROTOCOL_NOTES[name]}" for name in protocols))


def _differences(result: Result) -> tuple[str, ...]:
    return tuple(f"{result.dataset} differs from the paper's: {d}" for d in result.differences)


def _published_by_class(dataset: str) -> dict[str, dict[str | None, Cell]]:
    """J of the paper's two networks by class; the average under None."""
    if dataset not in TABLES:
        return {}
    table = TABLES[dataset]
    return {
        row.method: {None: row.J, **dict(zip(table.classes, row.per_class_J, strict=False))}
        for row in table.rows
        if row.method in (OURS_VGG16, OURS_HRNET)
    }


def _paper_columns(table: Table) -> list[Column]:
    """The method, the averages and the classes, as far as the table has them."""
    notes = list(dict.fromkeys(note.text for note in table.footnotes))
    of_column = {n.column: notes.index(n.text) for n in table.footnotes if not n.method}
    letters = [letter for letter in "PJ" if any(getattr(row, letter) for row in table.rows)]
    columns = [Column("method")]
    columns += [Column(f"mean\n{letter}", letter, of_column.get(letter)) for letter in letters]
    if any(row.per_class_P for row in table.rows):
        return columns + [Column(f"{name}\n{letter}") for name in table.classes for letter in "PJ"]
    return columns + [
        Column(f"{label}\nJ", f"{name} J")
        for name, label in zip(table.classes, table.labels, strict=True)
    ]


def _paper_row(table: Table, row: Published, columns: Sequence[Column]) -> tuple[Cell, ...]:
    values: dict[str, Cell] = {"P": row.P, "J": row.J}
    for letter, by_class in (("P", row.per_class_P), ("J", row.per_class_J)):
        values |= {f"{n} {letter}": x for n, x in zip(table.classes, by_class, strict=False)}
    notes = list(dict.fromkeys(note.text for note in table.footnotes))
    for footnote in table.footnotes:
        if footnote.method == row.method:
            value = values[footnote.column]
            values[footnote.column] = Noted(value, notes.index(footnote.text))  # pyright: ignore[reportArgumentType]
    return (row.method, *(values.get(column.key) for column in columns[1:]))


def _our_cell(result: Result, protocol: str, column: Column) -> Cell:
    summary = result.protocols[protocol]
    category, _, letter = column.key.rpartition(" ")
    scores = summary.per_class.get(category, PJ(None, None)) if category else summary
    return getattr(scores, letter)
