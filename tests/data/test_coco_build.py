"""How coco_seg is built: by several processes, whole or not at all, and resumed after a kill."""

import fnmatch
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from coco_toys import (
    CAT,
    CATEGORIES,
    HEIGHT,
    WIDTH,
    annotation,
    lists,
    prepare,
    small_train,
    write_coco,
)
from PIL import Image

from cosseg_jax.data.builders import build
from cosseg_jax.data.builders.coco import builder, shards
from cosseg_jax.data.registry import load_source
from cosseg_jax.errors import UserError

pytest.importorskip("pycocotools")


@pytest.fixture
def raw(tmp_path):
    return write_coco(tmp_path / "coco", small_train())


def forbidden(*arguments):
    raise AssertionError("made a second time")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_several_processes_write_what_one_writes(raw, tmp_path):
    one = prepare(raw, tmp_path / "one")
    several = prepare(raw, tmp_path / "several", processes=2)
    assert contents(several) == contents(one)


def test_an_interrupted_build_goes_on_and_has_the_same_result(raw, tmp_path, monkeypatch):
    whole = prepare(raw, tmp_path / "whole")
    write, written = shards._write_shard, []

    def interrupted(job):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(job.shard.name)
        return write(job)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_write_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(raw, tmp_path / "parts")
    assert not (tmp_path / "parts/coco_seg" / whole.name).exists()

    monkeypatch.setattr(shards, "_write_shard", lambda job: written.append(job) or write(job))
    monkeypatch.setattr(builder, "write_plan", forbidden)  # it is there already
    assert contents(prepare(raw, tmp_path / "parts")) == contents(whole)
    assert len(written) == 3  # each of the shards once


def test_a_build_that_was_killed_before_its_final_move(raw, tmp_path, monkeypatch):
    whole = prepare(raw, tmp_path / "whole")
    rename = Path.rename

    def killed(path, target):
        if Path(target).name == whole.name:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(raw, tmp_path / "parts")
    monkeypatch.setattr(shards, "_write_shard", forbidden)  # all shards are there
    assert contents(prepare(raw, tmp_path / "parts")) == contents(whole)


@pytest.mark.slow
def test_a_build_that_was_killed_goes_on(tmp_path):
    """SIGKILL, which leaves no time to clean up; the workers end with their parent."""
    images = list(range(200))
    root = write_coco(tmp_path / "coco", lists(images, [annotation(i, CAT) for i in images]))
    arguments = "min_area=8.0, processes=2, records_per_shard=1"
    script = f"""if __name__ == "__main__":
        from pathlib import Path
        from cosseg_jax.data.builders.coco.builder import prepare_coco_seg
        prepare_coco_seg(Path({str(root)!r}), Path({str(tmp_path / "parts")!r}), {arguments})"""
    file = tmp_path / "script.py"
    file.write_text(script)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.Popen([sys.executable, file], env=environment, start_new_session=True)

    def any_finished() -> bool:
        """os.walk passes over folders that go while it looks, which Path.rglob does not."""
        names = [name for *_, files in os.walk(tmp_path / "parts") for name in files]
        return bool(fnmatch.filter(names, "*.array_record-00*-of-*[0-9]"))

    wait_until(lambda: any_finished() or child.poll() is not None)
    workers = children_of(child.pid)
    child.kill()
    child.wait()
    assert len(workers) >= 2
    wait_until(lambda: not any(is_running(worker) for worker in workers))
    assert not (tmp_path / "parts/coco_seg" / str(builder.CocoSeg.VERSION)).exists()

    unfinished = next((tmp_path / "parts").rglob("built/coco_seg/*"))
    (unfinished / "left.partial-1").write_bytes(b"half")
    rest = partial(builder.prepare_coco_seg, root, min_area=8.0, processes=1, records_per_shard=1)
    assert contents(rest(tmp_path / "parts")) == contents(rest(tmp_path / "whole"))


def test_a_worker_that_is_killed(raw, tmp_path):
    def kill_the_first() -> None:
        wait_until(lambda: multiprocessing.active_children())
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(ChildProcessError, match="one of the processes has ended"):
        prepare(raw, tmp_path, processes=2)
    killer.join()
    prepare(raw, tmp_path)
    assert len(load_source("coco_seg", "train", tmp_path)) == 4


@pytest.mark.slow
def test_an_error_in_a_worker_reaches_the_user(raw, tmp_path):
    (raw / "train2017/000000000001.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(UserError, match=r"000000000001\.jpg does not decode"):
        prepare(raw, tmp_path, processes=2)


def test_a_second_build_waits_for_the_first_and_takes_its_result(raw, tmp_path, monkeypatch):
    plan, started, go_on, results = builder.write_plan, [], threading.Event(), []

    def slow(*arguments):
        started.append(arguments)
        go_on.wait(60)
        return plan(*arguments)

    monkeypatch.setattr(builder, "write_plan", slow)
    builds = [
        threading.Thread(target=lambda: results.append(prepare(raw, tmp_path))) for _ in range(2)
    ]
    for thread in builds:
        thread.start()
    wait_until(lambda: started)
    time.sleep(0.3)  # for the second to reach the lock
    go_on.set()
    for thread in builds:
        thread.join()
    assert len(started) == 1
    assert results[0] == results[1]
    assert list(results[0].parent.iterdir()) == [results[0]]


def test_a_source_may_be_moved_meanwhile(raw, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(builder, "write_shards", forbidden)
        with pytest.raises(AssertionError, match="made a second time"):
            prepare(raw, tmp_path / "out")
    moved = raw.rename(tmp_path / "moved")
    prepare(moved, tmp_path / "out")
    assert len(load_source("coco_seg", "train", tmp_path / "out")) == 4


def test_a_finished_data_set_is_kept(raw, tmp_path, monkeypatch):
    prepare(raw, tmp_path)
    monkeypatch.setattr(builder, "write_plan", forbidden)
    assert prepare(raw, tmp_path).is_dir()


def test_nothing_but_the_result_is_left(raw, tmp_path):
    final = prepare(raw, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == [final.parent]
    assert list(final.parent.iterdir()) == [final]


def test_a_data_set_of_other_files_is_replaced_only_by_force(raw, tmp_path):
    prepare(raw, tmp_path)
    Image.new("RGB", (WIDTH, HEIGHT), "white").save(raw / "train2017/000000000001.jpg")
    with pytest.raises(ValueError, match=r"was made from other files or options; .*force"):
        prepare(raw, tmp_path)
    final = prepare(raw, tmp_path, force=True)
    assert load_source("coco_seg", "train", tmp_path)[0].image.min() > 250
    assert list(final.parent.iterdir()) == [final]


def test_other_thresholds_make_another_data_set(raw, tmp_path):
    prepare(raw, tmp_path)
    with pytest.raises(ValueError, match="other files or options"):
        prepare(raw, tmp_path, min_images=1)
    prepare(raw, tmp_path, min_images=1, force=True)
    assert load_source("coco_seg", "train", tmp_path).categories == tuple(CATEGORIES.values())


def test_an_abandoned_build_of_other_files_is_removed(raw, tmp_path):
    image = raw / "train2017/000000000004.jpg"
    whole = image.read_bytes()
    image.write_bytes(b"")
    with pytest.raises(ValueError, match="does not decode"):
        prepare(raw, tmp_path / "out")
    (left,) = (tmp_path / "out").iterdir()
    image.write_bytes(whole)
    final = prepare(raw, tmp_path / "out")
    assert left.name.startswith("coco_seg.building-")
    assert list(final.parent.iterdir()) == [final]


def test_a_running_build_of_other_files_is_left_alone(raw, tmp_path):
    other = tmp_path / "out/coco_seg.building-other"
    with build.folder_lock(other):
        prepare(raw, tmp_path / "out")
        assert other.is_dir()


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
