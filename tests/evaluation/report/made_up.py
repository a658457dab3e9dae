"""Scored images and results like those of an evaluation, with made-up numbers."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from fake_source import FakeSource

from cosseg_jax.data.eval_groups import EvalGroup, Grouping, fives
from cosseg_jax.evaluation.evaluator import Evaluation, ScoredImage
from cosseg_jax.evaluation.metrics import Scores
from cosseg_jax.evaluation.report.writer import Report
from cosseg_jax.evaluation.results import PJ, Result, Summary


def scored(
    source: FakeSource, group: EvalGroup, index: int, J: float | None, **changes
) -> ScoredImage:
    """An image with a correct mask; P is 90, and by `ssnm` P is 80 and J is 1 lower."""
    example = source[index]
    return ScoredImage(
        category=source.categories[group.category],
        group=group,
        index=index,
        example=example._replace(**changes),
        probability=example.masks.any(axis=0).astype(np.float32),
        mask=example.masks.any(axis=0),
        prior=np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3),  # [2, 3]
        scores={
            "original": Scores(90.0, J),
            "ssnm": Scores(80.0, 0.0 if J is None else J - 1),
        },
    )


def counted(groups: Sequence[EvalGroup]) -> list[tuple[EvalGroup, int]]:
    """The group and index of every image that is scored, group by group."""
    return [
        (group, index)
        for group in groups
        for index, flag in zip(group.indices, group.counted, strict=True)
        if flag
    ]


def result_of(source: FakeSource, **changes) -> Result:
    """A result with J 50 in the first class and 51 in the second."""
    per_class = {name: PJ(90.0, 50.0 + k) for k, name in enumerate(source.categories)}
    made = Result(
        dataset="fake",
        checkpoint="runs/one/export",
        grouping=Grouping(),
        images=len(source),
        groups=len(fives(source)),
        protocols={
            "original": Summary(90.0, 50.5, per_class),
            "ssnm": Summary(80.0, 49.5, per_class),
        },
        group={"shared_J": None, "shared_entries": 0, "shared_images": 0, "foreign_P": 77.7},
        differences=(),
        first=Evaluation({}, images=len(source), groups=len(fives(source))),  # not shown
    )
    return made._replace(**changes)


def written(
    directory: Path, source: FakeSource, jaccards: Sequence[float | None], **changes
) -> str:
    """The page of a report on groups of five, with the given J of each image."""
    groups = fives(source)
    report = Report(directory, source, groups)
    for (group, index), J in zip(counted(groups), jaccards, strict=True):
        report(scored(source, group, index, J))
    report.write(result_of(source, **changes))
    return (directory / "index.html").read_text()


class Element:
    """An element of a page. text: its own and that of its children."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: "Element | None"):
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children: list[Element] = []
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """The elements below this one with a tag and attributes (`class_` for class)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            if child.tag == (tag or child.tag) and wanted.items() <= child.attributes.items():
                found.append(child)
            found += child.all(tag, **attributes)
        return found


class _Builder(HTMLParser):
    """Builds the tree and checks that every element is closed, in order."""

    VOID = ("meta", "img", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.root = self.open = Element("", {}, None)

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        assert len(element.attributes) == len(attrs), f"an attribute of <{tag}> occurs twice"
        self.open.children.append(element)
        if tag not in self.VOID:
            self.open = element

    def handle_endtag(self, tag):
        assert tag == self.open.tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data):
        element = self.open
        while element is not None:
            element.pieces.append(data)
            element = element.parent


def parsed(page: str) -> Element:
    """The tree of a page; fails if it is not well formed."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open is builder.root, f"<{builder.open.tag}> is never closed"
    return builder.root
