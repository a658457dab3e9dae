"""The real training loop: what a run leaves behind, what stops it, and that it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_runs import one_device, tiny_config

import train
from cosseg_jax.errors import NotFiniteError, UserError
from cosseg_jax.train.checkpoints import Checkpoints
from cosseg_jax.train.logging import METRICS_BEFORE, METRICS_FILE
from cosseg_jax.train.run import start_run
from cosseg_jax.train.step import Trainer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RUN_TINY = (
    f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]; import conftest\n"
    "import toy_runs, train\nfrom pathlib import Path\ntoy_runs.add_toy_backbone()\n"
    "train.train_and_evaluate(toy_runs.tiny_config(), Path(sys.argv[1]))"
)


def entries(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]


def start_tiny_run(workdir: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", RUN_TINY, str(workdir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen, pattern: str) -> None:
    deadline = time.time() + 240
    while not list(path.glob(pattern)) and time.time() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def test_a_run_leaves_metrics_previews_and_checkpoints(finished):
    workdir, result = finished
    assert result.best is not None
    training = [entry for entry in entries(workdir) if entry["split"] == "train"]
    assert [entry["step"] for entry in training] == [2, 4, 6]
    terms = {"loss", "loss_spatial", "loss_semantic", "loss_segmentation", "P", "J"}
    assert terms | {"learning_rate"} <= training[0].keys()
    validated = [entry["step"] for entry in entries(workdir) if entry["split"] == "val"]
    assert validated == [4, 6]
    assert len(list((workdir / "previews").glob("val_*.png"))) == 2
    assert list((workdir / "tensorboard").glob("events*"))
    assert sorted(int(p.name) for p in (workdir / "checkpoints").iterdir()) == [4, 6]


def test_the_best_variables_are_those_of_the_best_validation(finished):
    workdir, result = finished
    scores = {e["step"]: e["J"] for e in entries(workdir) if e["split"] == "val"}
    checkpoints = Checkpoints(workdir)
    assert checkpoints.best == max(scores, key=lambda step: (scores[step], step))
    expected = checkpoints.restore(checkpoints.best, result.state).state.variables
    checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, expected, result.best)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(finished, tmp_path):
    """Bit for bit, optimizer and batch statistics included, and the same metrics noted once."""
    config = tiny_config()
    config.steps = 3  # a stop between the checkpoints of the whole run
    assert train.train_and_evaluate(config, tmp_path).best is not None
    config.steps = 6
    resumed = train.train_and_evaluate(config, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, finished.result.state, resumed.state)
    assert entries(finished.workdir)[-1] == entries(tmp_path)[-1]


def test_a_run_that_was_killed_goes_on(finished, tmp_path):
    """kill -9 after the first checkpoint, then the same command: the same state in the end."""
    process = start_tiny_run(tmp_path)
    wait_for(tmp_path, process, "checkpoints/[0-9]")
    process.kill()
    process.communicate()
    resumed = train.train_and_evaluate(tiny_config(), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, finished.result.state, resumed.state)


def test_sigterm_saves_the_step_under_way(tmp_path):
    process = start_tiny_run(tmp_path)
    wait_for(tmp_path, process, METRICS_FILE)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest == entries(tmp_path)[-1]["step"]
    checkpoints.close()


def test_a_second_run_in_the_same_workdir_is_refused(tmp_path):
    config = tiny_config()
    with (
        start_run(config, tmp_path),
        pytest.raises(UserError, match=rf"is in use by a run \(process {os.getpid()} on "),
    ):
        train.train_and_evaluate(config, tmp_path)


def test_another_config_in_the_same_workdir_is_refused(finished):
    config = tiny_config()
    config.optimizer.learning_rate = 0.5
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.003 in the run, 0\.5 now"):
        train.train_and_evaluate(config, finished.workdir)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    tmp_path, monkeypatch
):
    config = tiny_config()
    config.steps = 2
    good = train.train_and_evaluate(config, tmp_path)
    step = Trainer.step
    monkeypatch.setattr(
        Trainer, "step", lambda self, batch: jax.tree.map(lambda x: x * np.nan, step(self, batch))
    )
    config.steps = 6
    with pytest.raises(NotFiniteError, match=r"step 3: .*loss.* not finite"):
        train.train_and_evaluate(config, tmp_path)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest == 2
    restored = checkpoints.restore(2, good.state).state
    checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, good.state, restored)


def test_a_save_that_fails_in_the_background_stops_the_run(tmp_path, monkeypatch):
    """The disk is full from step 4 on; the checkpoint of step 2 stays the latest."""
    save = Checkpoints.save

    def save_on_full_disk(self, state, *args):
        if int(state.step) >= 4:
            monkeypatch.setattr(self._saver.handler, "finalize", full_disk)
        save(self, state, *args)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoints, "save", save_on_full_disk)
    with pytest.raises(UserError, match=r"step 4 could not be saved.*No space left.* from step 2"):
        train.train_and_evaluate(tiny_config(), tmp_path)
    monkeypatch.undo()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps == [2]
    checkpoints.close()


def test_lost_checkpoints_are_told_of_and_their_metrics_are_kept(finished, tmp_path, capsys):
    before = (finished.workdir / METRICS_FILE).read_text()
    (tmp_path / METRICS_FILE).write_text(before)
    with start_run(tiny_config(), tmp_path) as run:
        assert run.start == 0
    assert "has metrics but no checkpoint: training starts at step 0" in capsys.readouterr().out
    assert (tmp_path / METRICS_BEFORE).read_text() == before


def test_the_script_stops_with_one_line_and_goes_on_to_its_export(tmp_path):
    """Its own parsing, SIGTERM, the same command again, and once more when all is done."""
    overrides = ["log_every=1", "steps=4", "checkpoint_every=1", "eval_every=4", "workers=0"]
    command = [sys.executable, str(ROOT / "train.py"), "--workdir", str(tmp_path / "run")]
    command += ["--config", str(ROOT / "tests/toy_config.py"), "--export", str(tmp_path / "net")]
    command += [f"--config.{override}" for override in overrides]
    environment = one_device()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(tmp_path / "run", process, METRICS_FILE)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "the same command goes on from there" in output
    unfinished = tmp_path / ".net.unfinished"  # as a kill in the export leaves it
    (unfinished / "variables").mkdir(parents=True)
    for expected in ("exported to", "already holds this network"):
        again = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert expected in again.stdout
        assert not unfinished.exists()
