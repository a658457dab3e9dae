"""What a run writes down, and what a run that goes on keeps of it."""

import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import jax_utils
from PIL import Image

from cosseg_jax.errors import NotFiniteError
from cosseg_jax.train.logging import METRICS_FILE, MetricsBuffer, RunLog, mean_of

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def open_log(tmp_path):
    """Opens logs in one workdir, and closes those that the test left open."""
    opened: list[RunLog] = []

    def at(start: int, *, active: bool = True) -> RunLog:
        log = RunLog(tmp_path, start=start, steps=10, images_per_step=20, active=active)
        opened.append(log)
        return log

    yield at
    for log in opened:
        log.close()


def lines(workdir: Path) -> list[dict]:
    text = (workdir / METRICS_FILE).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_holds_step_split_and_metrics(open_log, tmp_path):
    log = open_log(0)
    log.write(2, "train", {"loss": 0.5, "J": 30.25})
    log.write(2, "val", {"J": 20.0})
    assert lines(tmp_path) == [
        {"step": 2, "split": "train", "loss": 0.5, "J": 30.25},
        {"step": 2, "split": "val", "J": 20.0},
    ]


def test_metrics_reach_tensorboard_under_their_split(open_log, tmp_path):
    log = open_log(0)
    log.write(2, "val", {"J": 20.0})
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"val/J" in events.read_bytes()


def test_going_on_drops_what_lies_beyond_the_step(open_log, tmp_path):
    log = open_log(0)
    for step in (2, 4, 6):
        log.write(step, "train", {"loss": 1.0})
        log.write(step, "val", {"J": 1.0})
    log.close()
    open_log(4).write(6, "train", {"loss": 2.0})
    kept = [(line["step"], line["split"], line.get("loss")) for line in lines(tmp_path)]
    expected = [(step, *rest) for step in (2, 4) for rest in (("train", 1.0), ("val", None))]
    assert kept == [*expected, (6, "train", 2.0)]


def test_going_on_drops_a_line_that_was_cut_off(open_log, tmp_path):
    log = open_log(0)
    log.write(1, "train", {"loss": 1.0})
    log.close()
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 2, "split": "tra')
    open_log(2).write(3, "train", {"loss": 3.0})
    assert [line["step"] for line in lines(tmp_path)] == [1, 3]


def test_a_preview_is_kept_as_it_is(open_log, tmp_path):
    open_log(0).preview(40, "val", IMAGE)
    (path,) = (tmp_path / "previews").iterdir()
    assert path.name == "val_0000040.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), IMAGE)


def test_an_inactive_log_writes_and_shows_nothing(open_log, tmp_path, capfd):
    log = open_log(0, active=False)
    log.write(1, "train", {"loss": 1.0})
    log.preview(1, "val", IMAGE)
    log.advance()
    log.show({"loss": 1.0})
    log.say("hello")
    log.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_bar_shows_values_and_the_step(open_log, capfd):
    log = open_log(3)
    log.advance()
    log.show({"loss": 0.123456})
    log.close()
    shown = capfd.readouterr().err
    assert "4/10" in shown
    assert "loss=0.1235" in shown
    assert "images/s=" in shown


def test_say_leaves_a_line(open_log, capfd):
    open_log(0).say("step 3: validation J 50.0")
    assert "step 3: validation J 50.0\n" in capfd.readouterr().out


def test_mean_of_steps():
    assert mean_of([{"loss": 1.0, "J": 4.0}, {"loss": 2.0, "J": 0.0}]) == {"loss": 1.5, "J": 2.0}


def on_two_devices(loss: float) -> dict:
    return jax_utils.replicate({"loss": jnp.float32(loss), "J": jnp.float32(0)})


def test_the_means_of_steps_are_written_once(open_log, tmp_path):
    log = open_log(4)
    metrics = MetricsBuffer(log)
    for loss in (1.0, 2.0):
        metrics.add(on_two_devices(loss))
    metrics.write(6)
    metrics.write(6)
    assert lines(tmp_path) == [{"step": 6, "split": "train", "loss": 1.5, "J": 0.0}]


def test_a_step_that_is_not_finite_is_named(open_log):
    metrics = MetricsBuffer(open_log(4))
    for loss in (1.0, math.nan, 1.0):
        metrics.add(on_two_devices(loss))
    with pytest.raises(NotFiniteError, match=r"^step 6: loss not finite"):
        metrics.write(7)


def test_a_full_disk_is_told_with_the_workdir(open_log, tmp_path):
    log = open_log(0)
    (tmp_path / METRICS_FILE).symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}'"):
        log.write(1, "train", {"loss": 1.0})
