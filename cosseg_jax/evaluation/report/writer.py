"""Collects an evaluation's photographs as they are scored, and writes them as a page to look at.

    report = Report(directory, source, partitions(source, settings.grouping)[0])
    result = comparison.score(network, source, settings, on_image=[report])
    report.write(result)

leaves directory/index.html, one page that needs no other file, and directory/sheets/*.png.
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
from cosseg_jax.evaluation.report.photos import Elsewhere, Photo, ShownGroup, mean_scores, photo_of
from cosseg_jax.evaluation.report.sheets import SHEETS, draw_sheets
from cosseg_jax.evaluation.results import Result

MOST_PHOTOGRAPHS = 5000  # on one page; about 22 kB each


class Report:
    """The report of one evaluation; an `on_image` of `evaluate`.

    What it shows does not depend on the order in which photographs are scored. Photographs that
    are scored in other groups than those given, such as further partitions, are passed over.

    Args:
        directory: where the page goes.
        source: names the categories and photographs.
        groups: what is shown: one partition, in the order of the page.
        force: whether files of an earlier report may be overwritten.

    Raises UserError, before anything is computed, if a file of the report exists and `force` is not
    given, if the directory cannot be written, or for more photographs than a page holds.
    """

    def __init__(
        self, directory: Path, source: Source, groups: Sequence[EvalGroup], *, force: bool = False
    ):
        counted = list(_counted_members(groups))
        if len(counted) > MOST_PHOTOGRAPHS:
            raise UserError(
                f"a report of {len(counted)} photographs would choke a browser, it holds at most "
                f"{MOST_PHOTOGRAPHS}: evaluate a smaller split, or leave --report out"
            )
        self._page, self._sheets = directory / "index.html", directory / "sheets"
        for path in (self._page, *(self._sheets / name for name in SHEETS)):
            files.check_writable(path, force=force)
        self._source = source
        self._groups = list(groups)
        self._places = {member: place for place, member in enumerate(counted, start=1)}
        self._photos: dict[tuple[EvalGroup, int], Photo] = {}

    def __call__(self, image: ScoredImage) -> None:
        member = (image.group, image.index)
        if member in self._places and member not in self._photos:
            self._photos[member] = photo_of(image, self._places[member])

    def write(self, result: Result, *, split: str = "") -> None:
        """Writes the page and the sheets, each whole or not at all, the page last.

        Args:
            result: the figures of the evaluation.
            split: of the data set, for the page's heading.

        Raises ValueError if a photograph of the groups has not been scored.
        """
        missing = len(self._places) - len(self._photos)
        if missing:
            raise ValueError(
                f"{missing} of {len(self._places)} photographs were not scored: write the report "
                "after an evaluation of all its groups"
            )
        groups = self._shown_groups()
        sheets = draw_sheets(groups, next(iter(result.protocols)))
        page = render(groups, result, split=split, sheets=list(sheets))
        for name, content in sheets.items():
            files.write_whole(self._sheets / name, content)
        for name in set(SHEETS) - set(sheets):  # of an earlier report with more groups
            (self._sheets / name).unlink(missing_ok=True)
        files.write_whole(self._page, page.encode())

    def _shown_groups(self) -> list[ShownGroup]:
        """The groups that count a photograph, in the order given."""
        places = {(group.category, index): place for (group, index), place in self._places.items()}
        numbers: collections.Counter[int] = collections.Counter()
        shown = []
        for group in self._groups:
            photos = tuple(self._photos[member] for member in _counted_members([group]))
            if photos:
                numbers[group.category] += 1
                shown.append(
                    ShownGroup(
                        place=len(shown) + 1,
                        category=self._source.categories[group.category],
                        number=numbers[group.category],
                        photos=photos,
                        completed_by=tuple(
                            Elsewhere(
                                self._source.names[index], places.get((group.category, index))
                            )
                            for index, counted in zip(group.indices, group.counted, strict=True)
                            if not counted
                        ),
                        scores=mean_scores(photos),
                    )
                )
        return shown


def _counted_members(groups: Sequence[EvalGroup]) -> Iterator[tuple[EvalGroup, int]]:
    for group in groups:
        for index, counted in zip(group.indices, group.counted, strict=True):
            if counted:
                yield group, index
