"""The command that prepares data sets: what it writes, prints, refuses and leaves untouched."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toys import write_devkit, write_pack

from cosseg_jax.data.builders import build
from cosseg_jax.data.prepare import PREPARERS, PrepareOptions, prepare_dataset
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.errors import UserError

MASK = np.eye(6, dtype=bool)


@pytest.fixture
def options(tmp_path):
    write_pack(tmp_path / "raw/MSRC7", {"cow/a": MASK, "cow/b": ~MASK, "cat/a": MASK})
    return PrepareOptions(tmp_path / "raw", tmp_path / "out/data")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COSSEG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*_*")}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cosseg_jax.data.prepare", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if name != "COSSEG_DATA_DIR"},
        check=False,
    )


def test_everything_on_disk_can_be_prepared():
    on_disk = {name for name, entry in SOURCES.items() if entry.needs_data_dir}
    assert PREPARERS.keys() == on_disk


def test_prepared_data_are_found_without_the_source(options, cache):
    prepare_dataset("msrc", options)
    source = load_source("msrc", "test", options.data_dir)
    assert list(source.names) == ["cat/a", "cow/a", "cow/b"]
    np.testing.assert_array_equal(source[2].masks[0], ~MASK)
    assert not cache.exists()


def test_the_data_set_lies_under_its_name_and_version(options):
    prepare_dataset("msrc", options)
    (info,) = options.data_dir.rglob("dataset_info.json")
    assert info.parent == options.data_dir / "cosegmentation/msrc/1.0.0"
    assert [path.name for path in options.data_dir.iterdir()] == ["cosegmentation"]


def test_summary(options):
    lines = prepare_dataset("msrc", options).splitlines()
    assert lines[:3] == ["msrc test: 3 images, 2 classes", "  cat       1", "  cow       2"]
    checksum = load_source("msrc", "test", options.data_dir).checksum
    assert f"checksum {checksum}" in lines
    assert "differs from the paper's: 2 images of cow, the paper has 10" in lines
    assert lines[-1] == f"in {options.data_dir / 'cosegmentation/msrc/1.0.0'}"


def test_voc_has_a_summary_of_both_splits(tmp_path):
    train, val = {"a": np.full((4, 4), 12)}, {"b": np.full((4, 4), 255)}
    write_devkit(tmp_path / "raw", {"train": train, "val": val})
    summary = prepare_dataset("voc", PrepareOptions(tmp_path / "raw", tmp_path / "out"))
    assert "voc train: 1 images, 20 classes" in summary
    assert "voc val: 1 images, 20 classes" in summary
    assert "paper" not in summary


def test_nothing_is_overwritten(options):
    prepare_dataset("msrc", options)
    before = files_of(options.data_dir)
    write_pack(options.source / "MSRC7", {"dog/a": MASK})
    with pytest.raises(UserError, match=r"msrc/1\.0\.0 was made from other files .*--force"):
        prepare_dataset("msrc", options)
    assert files_of(options.data_dir) == before


def test_the_same_command_again_changes_nothing(options, monkeypatch):
    summary = prepare_dataset("msrc", options)
    before = files_of(options.data_dir)
    monkeypatch.setattr(build, "_run_builder", None)
    assert prepare_dataset("msrc", options) == summary
    assert files_of(options.data_dir) == before


def test_force_replaces(options):
    prepare_dataset("msrc", options)
    write_pack(options.source / "MSRC7", {"dog/a": MASK})
    prepare_dataset("msrc", options._replace(force=True))
    assert load_source("msrc", "test", options.data_dir).categories == ("cat", "cow", "dog")
    assert len(list(options.data_dir.rglob("dataset_info.json"))) == 1


def test_a_bad_source_leaves_nothing(options):
    (options.source / "MSRC7/image/cow/b.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="does not decode"):
        prepare_dataset("msrc", options)
    assert list(options.data_dir.iterdir()) == []


def test_a_bad_source_leaves_what_was_there_even_with_force(options):
    prepare_dataset("msrc", options)
    before = files_of(options.data_dir)
    (options.source / "MSRC7/image/cow/b.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="does not decode"):
        prepare_dataset("msrc", options._replace(force=True))
    assert files_of(options.data_dir) == before


def test_an_interruption_leaves_nothing(options, monkeypatch):
    finish = build._run_builder

    def interrupted(builder, root):
        finish(builder, root)
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_run_builder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset("msrc", options)
    assert list(options.data_dir.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_one_line_with_the_path_and_leaves_nothing(options):
    """The limit on a file's size makes the writer fail as a full disk does, in another process."""
    limited = f"ulimit -f 1; exec {sys.executable} -m cosseg_jax.data.prepare msrc"
    done = subprocess.run(
        ["bash", "-c", f"{limited} --source {options.source} --data_dir {options.data_dir}"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: [Errno 27] File too large: ")
    assert str(options.data_dir) in done.stderr.splitlines()[-1]
    assert list(options.data_dir.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),  # as Python's own writing raises it
        RuntimeError('Failed to write split "test": write() failed: No space left on device; at'),
    ],
)
def test_errors_of_writing_name_the_path(options, monkeypatch, error):
    def full(builder, root):
        raise error

    monkeypatch.setattr(build, "_run_builder", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{options.data_dir}'"):
        prepare_dataset("msrc", options)


def test_other_runtime_errors_are_faults(options, monkeypatch):
    def broken(builder, root):
        raise RuntimeError("a bug")

    monkeypatch.setattr(build, "_run_builder", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        prepare_dataset("msrc", options)


def test_what_a_killed_preparation_left_is_removed(options):
    left = options.data_dir / "cosegmentation.building-0123456789abcdef/built"
    left.mkdir(parents=True)
    prepare_dataset("msrc", options)
    assert [path.name for path in options.data_dir.iterdir()] == ["cosegmentation"]


@pytest.mark.slow
def test_a_killed_preparation_goes_on_with_the_same_command(options):
    """SIGKILL while records are written; nothing is left but what the next one removes."""
    masks = {f"cow/{number:03d}": MASK for number in range(300)}
    write_pack(options.source / "MSRC7", masks)
    arguments = ("msrc", "--source", options.source, "--data_dir", options.data_dir)
    child = subprocess.Popen(
        [sys.executable, "-m", "cosseg_jax.data.prepare", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    while not list(options.data_dir.glob("*.building-*/built")) and child.poll() is None:
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert not (options.data_dir / "cosegmentation").exists()
    prepare_dataset("msrc", options)
    assert [path.name for path in options.data_dir.iterdir()] == ["cosegmentation"]
    assert len(load_source("msrc", "test", options.data_dir)) == 303


def test_folders_of_others_are_not_cleaned_away(options):
    other = options.data_dir / "mine.building-x"
    other.mkdir(parents=True)
    prepare_dataset("msrc", options)
    assert other.is_dir()


def test_the_result_may_not_lie_in_the_source(options):
    with pytest.raises(UserError, match=r"MSRC7/x lies in .*MSRC7, which is only read"):
        prepare_dataset("msrc", options._replace(data_dir=options.source / "MSRC7/x"))


def test_the_result_may_lie_beside_the_pack(options):
    prepare_dataset("msrc", options._replace(data_dir=options.source))
    assert len(load_source("msrc", "test", options.source)) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("shapes", "'shapes' is built in; expected one of"), ("mrsc", "unknown data set 'mrsc'")],
)
def test_names_that_cannot_be_prepared(options, name, message):
    with pytest.raises(UserError, match=message):
        prepare_dataset(name, options)


def test_source_that_does_not_exist(options):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; expected 'msrc' there"):
        prepare_dataset("msrc", options._replace(source=Path("nowhere")))


@pytest.mark.slow
def test_command_line(options):
    done = run("msrc", "--source", options.source, "--data_dir", options.data_dir)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("msrc test: 3 images, 2 classes\n")
    assert "preparing msrc: 100%" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: which data set? Give one of ["),
        (("mrsc",), "error: unknown data set 'mrsc'; expected one of"),
        (("msrc", "--data_dir=x"), "error: --source must be given"),
        (("msrc", "voc"), "error: unexpected argument 'voc'"),
        (("msrc", "--source=.", "--data_dir=x"), "error: no data set 'msrc' in "),
    ],
)
def test_wrong_command_line_is_one_line(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
