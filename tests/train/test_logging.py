"""What a run writes down, and what a run taken up again keeps of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosseg_jax.train.logging import METRICS_FILE, Journal, mean_of

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def open_journal(tmp_path):
    """Opens journals in one workdir, and closes what the test left open."""
    opened: list[Journal] = []

    def at(start: int, *, active: bool = True) -> Journal:
        journal = Journal(tmp_path, start=start, steps=10, images_per_step=20.0, active=active)
        opened.append(journal)
        return journal

    yield at
    for journal in opened:
        journal.close()


def lines(workdir: Path) -> list[dict]:
    text = (workdir / METRICS_FILE).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_holds_step_split_and_metrics(open_journal, tmp_path):
    journal = open_journal(0)
    journal.note(2, "train", {"loss": 0.5, "J": 30.25})
    journal.note(2, "val", {"J": 20.0})
    assert lines(tmp_path) == [
        {"step": 2, "split": "train", "loss": 0.5, "J": 30.25},
        {"step": 2, "split": "val", "J": 20.0},
    ]


def test_metrics_reach_tensorboard_under_their_split(open_journal, tmp_path):
    journal = open_journal(0)
    journal.note(2, "val", {"J": 20.0})
    journal.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"val/J" in events.read_bytes()


def test_going_on_drops_what_lies_beyond_the_step(open_journal, tmp_path):
    journal = open_journal(0)
    for step in (2, 4, 6):
        journal.note(step, "train", {"loss": 1.0})
        journal.note(step, "val", {"J": 1.0})
    journal.close()
    open_journal(4).note(6, "train", {"loss": 2.0})
    kept = [(line["step"], line["split"], line.get("loss")) for line in lines(tmp_path)]
    expected = [(step, *rest) for step in (2, 4) for rest in (("train", 1.0), ("val", None))]
    assert kept == [*expected, (6, "train", 2.0)]


def test_going_on_drops_a_line_that_was_cut_off(open_journal, tmp_path):
    journal = open_journal(0)
    journal.note(1, "train", {"loss": 1.0})
    journal.close()
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 2, "split": "tra')
    open_journal(2).note(3, "train", {"loss": 3.0})
    assert [line["step"] for line in lines(tmp_path)] == [1, 3]


def test_a_picture_is_kept_as_it_is(open_journal, tmp_path):
    open_journal(0).picture(40, "val", PICTURE)
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.name == "val_0000040.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), PICTURE)


def test_an_inactive_journal_writes_and_shows_nothing(open_journal, tmp_path, capfd):
    journal = open_journal(0, active=False)
    journal.note(1, "train", {"loss": 1.0})
    journal.picture(1, "val", PICTURE)
    journal.advance()
    journal.show({"loss": 1.0})
    journal.say("hello")
    journal.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_bar_shows_figures_and_the_step(open_journal, capfd):
    journal = open_journal(3)
    journal.advance()
    journal.show({"loss": 0.123456})
    journal.close()
    shown = capfd.readouterr().err
    assert "4/10" in shown
    assert "loss=0.1235" in shown
    assert "images/s=" in shown


def test_say_leaves_a_line(open_journal, capfd):
    open_journal(0).say("step 3: validation J 50.0")
    assert "step 3: validation J 50.0\n" in capfd.readouterr().out


def test_mean_of_steps():
    assert mean_of([{"loss": 1.0, "J": 4.0}, {"loss": 2.0, "J": 0.0}]) == {"loss": 1.5, "J": 2.0}
