"""`cosseg apply --watch`: photos as they arrive, and only when they are whole."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from golden_network import write_shapes
from PIL import Image

from cosseg_jax.cli import watch
from cosseg_jax.cli.main import main
from cosseg_jax.cli.watch import Arrivals

BLACK = np.zeros((96, 96), np.uint8)


def arrivals(folder: Path, found: set[Path]) -> Arrivals:
    return Arrivals([folder], True, folder / "out", found.__contains__)


def names(look: list) -> list[str]:
    return [photo.path.name for photo in look]


def test_a_file_that_is_being_written_waits_until_it_stays_the_same(tmp_path: Path):
    look = arrivals(tmp_path, set()).look
    file = tmp_path / "a.png"
    file.touch()
    assert look() == []
    for part in (b"first", b"first and second"):
        file.write_bytes(part)
        assert look() == []
    assert names(look()) == ["a.png"]
    assert look() == []


def test_a_photo_is_given_again_when_it_has_changed(tmp_path: Path):
    found: set[Path] = set()
    new = arrivals(tmp_path, found)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"text")
    new.look()
    assert names(new.look()) == ["a.png", "b.png"]
    found.add(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"longer text")
    new.look()
    assert names(new.look()) == ["a.png"]


def test_what_is_written_does_not_arrive(tmp_path: Path):
    (tmp_path / "out/masks").mkdir(parents=True)
    (tmp_path / "below").mkdir()
    for file in ("out/masks/a.png", "below/a.png", ".hidden.png", "a.txt"):
        (tmp_path / file).write_bytes(b"text")
    new = arrivals(tmp_path, set())
    new.look()
    assert [photo.path for photo in new.look()] == [tmp_path / "below/a.png"]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def concept(golden, tmp_path: Path) -> Path:
    photos = write_shapes(tmp_path / "photos", ("a.png",))
    (tmp_path / "masks").mkdir()
    mask = BLACK.copy()
    mask[20:60, 20:60] = 255
    Image.fromarray(mask).save(tmp_path / "masks/a.png")
    out = tmp_path / "square.concept"
    assert run("learn", photos, "--masks", tmp_path / "masks", "--out", out) == 0
    return out


def lines_of(out: Path) -> list[dict]:
    record = out / "photos.jsonl"
    return [json.loads(line) for line in record.read_text().splitlines()[1:]]


def ended_when(condition) -> threading.Thread:
    """Presses Ctrl-C once a condition holds, or after half a minute."""

    def wait() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end and not condition():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_photos_are_done_as_they_arrive(concept: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(watch, "INTERVAL_S", 0.05)
    photos, out = tmp_path / "incoming", tmp_path / "out"
    photos.mkdir()
    before = signal.getsignal(signal.SIGINT)
    apply = ("apply", concept, photos, "--out", out, "--watch", "--kinds", "labels,json")

    def done(count: int):
        return lambda: (out / "photos.jsonl").is_file() and len(lines_of(out)) >= count

    def bring() -> None:
        (photos / "broken.png").write_bytes(b"no image")
        (tmp_path / "photos/a.png").rename(photos / "b.png")

    threading.Timer(0.3, bring).start()
    thread = ended_when(done(2))
    assert run(*apply, "--json") == 0
    thread.join()
    told = capsys.readouterr()
    assert json.loads(told.out)["photos"] == 1
    assert json.loads(told.out)["skipped"] == 1
    assert "watching; end it with Ctrl-C" in told.err
    assert (out / "labels/b.png").is_file()
    assert run(*apply) == 2  # without --resume nothing is overwritten
    write_shapes(photos, ("broken.png",))
    thread = ended_when(done(3))
    assert run(*apply, "--resume", "--json") == 0
    thread.join()
    assert json.loads(capsys.readouterr().out)["photos"] == 2
    content = json.loads((out / "segmentation.json").read_text())
    assert [Path(image["file_name"]).name for image in content["images"]] == ["b.png", "broken.png"]
    assert signal.getsignal(signal.SIGINT) is before


def test_new_photos_keep_the_names_of_earlier_ones(concept: Path, tmp_path: Path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    apply = ("apply", concept, photos, "--recursive", "--out", out, "--kinds", "labels")
    (photos / "z").mkdir()
    (photos / "a.png").rename(photos / "z/a.png")
    assert run(*apply) == 0
    write_shapes(photos, ("a.png", "b.png"))
    before = (out / "labels/a.png").stat().st_mtime_ns
    assert run(*apply, "--resume") == 0
    assert [(Path(line["photo"]).name, line["stem"]) for line in lines_of(out)] == [
        ("a.png", "a"),
        ("a.png", "a_2"),
        ("b.png", "b"),
    ]
    assert (out / "labels/a.png").stat().st_mtime_ns == before


def test_only_folders_are_watched(concept: Path, tmp_path: Path, capsys):
    photo = tmp_path / "photos/a.png"
    assert run("apply", concept, photo, "--out", tmp_path / "out", "--watch") == 2
    assert "a.png is not a folder; --watch takes folders" in capsys.readouterr().err
