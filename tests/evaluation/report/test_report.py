"""The files of a report: what it refuses, and that it never damages a file."""

from pathlib import Path

import pytest
from fake_source import FakeSource, perfect, segmenter
from made_up import counted, result_of, scored, written

from cosseg_jax import files
from cosseg_jax.data.eval_groups import fives
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation.evaluator import GroupList, evaluate
from cosseg_jax.evaluation.report import writer
from cosseg_jax.evaluation.report.writer import Report

SOURCE = FakeSource([(0,)] * 6 + [(1,)] * 3, categories=2)
SCORES = [float(J) for J in range(9)]


def test_an_evaluation_becomes_a_page_and_sheets(tmp_path: Path):
    groups = fives(SOURCE)
    report = Report(tmp_path / "new", SOURCE, groups)
    evaluate(segmenter(perfect), SOURCE, {"own": GroupList(groups, on_image=report)})
    report.write(result_of(SOURCE), split="test")
    page = (tmp_path / "new" / "index.html").read_text()
    assert page.count('id="photo-') == 9
    assert "<small>test</small>" in page
    sheets = {path.name for path in (tmp_path / "new" / "sheets").iterdir()}
    assert {"overview.png", "best_1.png", "best_3.png", "worst_3.png"} <= sheets


def test_the_order_of_scoring_does_not_matter(tmp_path: Path):
    groups = fives(SOURCE)
    for name, order in (("one", 1), ("two", -1)):
        report = Report(tmp_path / name, SOURCE, groups)
        for group, index in counted(groups)[::order]:
            report(scored(SOURCE, group, index, float(index)))
        report.write(result_of(SOURCE))
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")]
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_images_of_other_partitions_are_ignored(tmp_path: Path):
    expected = written(tmp_path / "first", SOURCE, SCORES)
    groups = fives(SOURCE)
    others = fives(SOURCE, group_size=2)
    report = Report(tmp_path / "both", SOURCE, groups)
    for partition, offset in ((groups, 0.0), (others, 50.0), (groups, 50.0)):
        for (group, index), J in zip(counted(partition), SCORES, strict=True):
            report(scored(SOURCE, group, index, J + offset))
    report.write(result_of(SOURCE))
    assert (tmp_path / "both" / "index.html").read_text() == expected


@pytest.mark.parametrize("name", ["index.html", "sheets/overview.png", "sheets/worst_4.png"])
def test_an_existing_file_is_refused_before_anything_is_computed(tmp_path: Path, name: str):
    (tmp_path / "sheets").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=rf"{name} exists already.*--force"):
        Report(tmp_path, SOURCE, fives(SOURCE))
    assert (tmp_path / name).read_text() == "mine"


def test_force_replaces_a_report_and_keeps_other_files(tmp_path: Path):
    written(tmp_path, SOURCE, SCORES)
    assert (tmp_path / "sheets" / "best_3.png").exists()
    (tmp_path / "sheets" / "mine.png").touch()
    small = FakeSource([(0,)] * 2, categories=1)
    (group,) = fives(small)
    report = Report(tmp_path, small, [group], force=True)
    for index in group.indices:
        report(scored(small, group, index, 5.0))
    report.write(result_of(small))
    left = {path.name for path in (tmp_path / "sheets").iterdir()}
    assert left == {"overview.png", "best_1.png", "worst_1.png", "mine.png"}
    assert (tmp_path / "index.html").read_text().count('id="photo-') == 2


def test_a_failed_write_keeps_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = written(tmp_path, SOURCE, SCORES)
    groups = fives(SOURCE)
    report = Report(tmp_path, SOURCE, groups, force=True)
    for group, index in counted(groups):
        report(scored(SOURCE, group, index, 1.0))
    whole = files.write_whole

    def full_disk(path: Path, content: bytes) -> None:
        if path.name == "worst_1.png":
            raise OSError("no space left on device")
        whole(path, content)

    monkeypatch.setattr(files, "write_whole", full_disk)
    with pytest.raises(OSError, match="no space"):
        report.write(result_of(SOURCE))
    assert (tmp_path / "index.html").read_text() == old


def test_a_report_on_a_part_of_the_images_is_not_written(tmp_path: Path):
    groups = fives(SOURCE)
    report = Report(tmp_path, SOURCE, groups)
    group, index = counted(groups)[0]
    report(scored(SOURCE, group, index, 1.0))
    with pytest.raises(ValueError, match="8 of 9 images were not scored"):
        report.write(result_of(SOURCE))
    assert not (tmp_path / "index.html").exists()


def test_too_many_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "MAX_REPORT_IMAGES", 8)
    with pytest.raises(UserError, match=r"9 photos.*up to 8"):
        Report(tmp_path / "new", SOURCE, fives(SOURCE))
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path):
    (tmp_path / "report").touch()
    with pytest.raises(UserError, match="cannot create the folder"):
        Report(tmp_path / "report", SOURCE, fives(SOURCE))
