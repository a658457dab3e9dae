"""Collects the images of an evaluation as they are scored, and writes them as a web page.

    report = Report(directory, source, partitions(source, settings.grouping)[0])
    result = benchmark.score(network, source, settings, on_image=[report])
    report.write(result)

writes directory/index.html, a page that needs no other file, and directory/sheets/*.png.
"""

import collections
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosseg_jax import files
from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.report.page import render
from cosseg_jax.evaluation.report.panels import (
    Elsewhere,
    ReportGroup,
    ReportImage,
    mean_scores,
    report_image,
)
from cosseg_jax.evaluation.report.sheets import SHEETS, draw_sheets
from cosseg_jax.evaluation.results import Result

MAX_REPORT_IMAGES = 5000  # about 22 kB each on the page


class Report:
    """The report of one evaluation; an `on_image` callback of `evaluate`.

    Its content does not depend on the order in which images are scored. It ignores images that are
    scored in other groups than the given ones, such as those of further partitions.

    Args:
        directory: where the page is written.
        source: the data set, for the names of categories and images.
        groups: the groups to show, in the order of the page.
        force: whether to overwrite files of an earlier report.

    Raises:
        UserError: before anything is computed, if a file of the report exists and `force` is not
            set, if the directory cannot be written, or if there are more images than a page holds.
    """

    def __init__(
        self, directory: Path, source: Source, groups: Sequence[EvalGroup], *, force: bool = False
    ):
        counted = list(_counted_members(groups))
        if len(counted) > MAX_REPORT_IMAGES:
            raise UserError(
                f"a report of {len(counted)} photos is too large for a browser, which shows up to "
                f"{MAX_REPORT_IMAGES}: evaluate a smaller split or fewer --categories, or leave "
                "--report out"
            )
        self._page, self._sheets = directory / "index.html", directory / "sheets"
        for path in (self._page, *(self._sheets / name for name in SHEETS)):
            files.check_writable(path, force=force)
        self._source = source
        self._groups = list(groups)
        self._places = {member: place for place, member in enumerate(counted, start=1)}
        self._shown = {(group.category, index): k for (group, index), k in self._places.items()}
        self._images: dict[tuple[EvalGroup, int], ReportImage] = {}

    def __call__(self, scored: ScoredImage) -> None:
        member = (scored.group, scored.index)
        if member in self._places and member not in self._images:
            self._images[member] = report_image(scored, self._places[member])

    def write(self, result: Result, *, split: str = "") -> None:
        """Writes the sheets, then the page; each file is written whole or not at all.

        Args:
            result: the metrics of the evaluation.
            split: of the data set, for the page's heading.

        Raises:
            ValueError: if an image of the groups has not been scored.
        """
        missing = len(self._places) - len(self._images)
        if missing:
            raise ValueError(
                f"{missing} of {len(self._places)} images were not scored; a report is written "
                "after all of its groups were evaluated"
            )
        groups = list(self._report_groups())
        sheets = draw_sheets(groups, next(iter(result.protocols)))
        page = render(groups, result, split=split, sheets=list(sheets))
        for name, content in sheets.items():
            files.write_whole(self._sheets / name, content)
        for name in set(SHEETS) - set(sheets):  # left by an earlier report with more groups
            (self._sheets / name).unlink(missing_ok=True)
        files.write_whole(self._page, page.encode())

    def _report_groups(self) -> Iterator[ReportGroup]:
        """The groups that count an image, in the given order."""
        numbers: collections.Counter[int] = collections.Counter()
        for group in self._groups:
            images = tuple(self._images[member] for member in _counted_members([group]))
            if not images:
                continue
            numbers[group.category] += 1
            yield ReportGroup(
                place=numbers.total(),
                category=self._source.categories[group.category],
                number=numbers[group.category],
                images=images,
                completed_by=self._completed_by(group),
                scores=mean_scores(images),
            )

    def _completed_by(self, group: EvalGroup) -> tuple[Elsewhere, ...]:
        return tuple(
            Elsewhere(self._source.names[index], self._shown.get((group.category, index)))
            for index, counted in zip(group.indices, group.counted, strict=True)
            if not counted
        )


def _counted_members(groups: Sequence[EvalGroup]) -> Iterator[tuple[EvalGroup, int]]:
    for group in groups:
        for index, counted in zip(group.indices, group.counted, strict=True):
            if counted:
                yield group, index
