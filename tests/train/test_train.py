"""The real training loop: what a run leaves behind, taking it up again, and what stops it."""

import contextlib
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
from toy_runs import tiny_config

import train
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.exported import export, load_exported
from cosseg_jax.predict.forward import make_predictor
from cosseg_jax.train import setup
from cosseg_jax.train.checkpoints import Checkpoints
from cosseg_jax.train.logging import METRICS_FILE
from cosseg_jax.train.setup import warm_start
from cosseg_jax.train.step import initial_variables

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run."""
    workdir = tmp_path_factory.mktemp("run")
    return workdir, train.train_and_evaluate(tiny_config(), workdir)


def entries(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / METRICS_FILE).read_text().splitlines()]


def test_a_run_leaves_metrics_pictures_and_checkpoints(finished):
    workdir, outcome = finished
    assert outcome.finished
    training = [entry for entry in entries(workdir) if entry["split"] == "train"]
    assert [entry["step"] for entry in training] == [2, 4, 6]
    terms = {"loss", "loss_spatial", "loss_semantic", "loss_segmentation", "P", "J"}
    assert terms | {"learning_rate"} <= training[0].keys()
    validated = [entry["step"] for entry in entries(workdir) if entry["split"] == "val"]
    assert validated == [4, 6]
    assert len(list((workdir / "pictures").glob("val_*.png"))) == 2
    assert list((workdir / "tensorboard").glob("events*"))
    kept = {int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()}
    assert 6 in kept
    assert len(kept) <= 2


def test_a_run_that_was_stopped_ends_as_one_that_was_not(finished, tmp_path):
    """Bit for bit, optimizer and batch statistics included, and the same metrics noted once."""
    workdir, outcome = finished
    config = tiny_config()
    config.steps = 3  # a stop between checkpoints of its own making
    assert train.train_and_evaluate(config, tmp_path).finished
    config.steps = 6
    resumed = train.train_and_evaluate(config, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, outcome.state, resumed.state)
    last, again = entries(workdir)[-1], entries(tmp_path)[-1]
    assert last == again


def test_a_run_killed_outright_goes_on(finished, tmp_path):
    """kill -9 in mid-run, then the same command: the parameters of an uninterrupted run."""
    _, outcome = finished
    script = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]; import conftest\n"
        "import toy_runs\nfrom cosseg_jax.cli import train\nfrom pathlib import Path\n"
        f"train.train_and_evaluate(toy_runs.tiny_config(), Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.time() + 240
    while not list(tmp_path.glob("checkpoints/[0-9]")) and time.time() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = train.train_and_evaluate(tiny_config(), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, outcome.state, resumed.state)


def test_another_config_in_the_same_workdir_is_refused(finished):
    workdir, _ = finished
    config = tiny_config()
    config.optimizer.learning_rate = 0.5
    with pytest.raises(ValueError, match=r"optimizer\.learning_rate: 0\.003 in the run, 0\.5 now"):
        train.train_and_evaluate(config, workdir)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    tmp_path, monkeypatch
):
    config = tiny_config()
    config.steps = 2
    good = train.train_and_evaluate(config, tmp_path)
    run_of = setup.prepare

    def poisoned(config, workdir):
        run = run_of(config, workdir)
        step = run.trainer.step
        run.trainer.step = lambda batch: jax.tree.map(lambda x: x * np.nan, step(batch))
        return run

    config.steps = 6
    monkeypatch.setattr(setup, "prepare", poisoned)
    with pytest.raises(FloatingPointError, match="step 3"):
        train.train_and_evaluate(config, tmp_path)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest == 2
    restored = checkpoints.restore(2, good.state).state
    checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, good.state, restored)


def test_an_export_predicts_as_the_run_does(finished, tmp_path):
    workdir, outcome = finished
    variables = setup.best_variables(outcome.config, workdir)
    export(tmp_path / "out", outcome.config, variables)
    config, loaded = load_exported(tmp_path / "out")
    assert config.categories == outcome.config.categories
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32, 3), dtype=np.uint8)
    expected = make_predictor(outcome.config, variables)(images)
    found = make_predictor(config, loaded)(images)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_an_export_in_half_precision_restores_to_nearly_the_same(finished, tmp_path):
    _, outcome = finished
    variables = outcome.state.variables
    export(tmp_path / "half", outcome.config, variables, half=True)
    _, loaded = load_exported(tmp_path / "half")
    for one, other in zip(jax.tree.leaves(variables), jax.tree.leaves(loaded), strict=True):
        assert one.dtype == other.dtype
        expected = np.float32(np.float16(one)) if one.ndim > 1 else one
        np.testing.assert_array_equal(expected, other)


def test_a_kernel_that_half_precision_cannot_hold_is_named(finished, tmp_path):
    _, outcome = finished
    variables = jax.tree.map(lambda x: 1e6 * x, outcome.state.variables)
    with pytest.raises(ValueError, match=r"\['kernel'\] does not fit half precision"):
        export(tmp_path / "half", outcome.config, variables, half=True)
    assert not (tmp_path / "half" / "config.json").exists()


def test_an_export_never_overwrites(finished, tmp_path):
    _, outcome = finished
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        export(tmp_path, outcome.config, outcome.state.variables)
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_a_checkpoint_of_another_network_is_named_leaf_by_leaf(finished, tmp_path):
    _, outcome = finished
    export(tmp_path / "out", outcome.config, outcome.state.variables)
    path = tmp_path / "out" / "config.json"
    edited = json.loads(path.read_text())
    edited["model"]["features"] = 16
    path.write_text(json.dumps(edited))
    with pytest.raises(
        ValueError, match=r"params/head/predict/kernel: \(1, 1, 8, 1\) in the check"
    ):
        load_exported(tmp_path / "out")


def test_a_folder_that_is_no_export_is_refused_with_what_to_do(finished, tmp_path):
    workdir, _ = finished
    with pytest.raises(FileNotFoundError, match=r"holds no config\.json"):
        load_exported(tmp_path)
    with pytest.raises(FileNotFoundError, match="export its best checkpoint"):
        load_exported(workdir)


@pytest.mark.parametrize(
    ("field", "value"),
    [("group_size", 0), ("image_size", 16), ("steps", 0), ("dataset", "cifar"), ("seed", -1)],
)
def test_fields_that_cannot_be_meant_are_named(tmp_path, field, value):
    config = tiny_config()
    config[field] = value
    with pytest.raises(ValueError, match=f"{field}|data set '{value}'"):
        train.train_and_evaluate(config, tmp_path)


def test_a_frozen_backbone_without_weights_is_refused(tmp_path):
    config = tiny_config()
    config.model.freeze_backbone = True
    with pytest.raises(ValueError, match=r"neither model\.pretrained nor start_from names weights"):
        train.train_and_evaluate(config, tmp_path)


def test_sigterm_saves_and_says_how_to_go_on(tmp_path):
    """The script as a process: its own parsing, a stop in mid-run, and the same command again."""
    environment = {**os.environ, "XLA_FLAGS": ""}
    overrides = ["image_size=32", "model.features=8", "model.semantic.reduced=4", "eval_groups=4"]
    command = [
        sys.executable,
        str(ROOT / "train.py"),
        "--config",
        str(ROOT / "configs/quickstart.py"),
    ]
    command += [f"--config.{override}" for override in [*overrides, "log_every=1", "group_size=2"]]
    command += ["--workdir", str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-3, text=True) as process:
        metrics = tmp_path / METRICS_FILE
        deadline = time.time() + 240
        while not (metrics.exists() and metrics.stat().st_size) and time.time() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "the same command goes on from there" in output
    checkpoints = Checkpoints(tmp_path)
    step = checkpoints.latest
    checkpoints.close()
    assert step == entries(tmp_path)[-1]["step"]


def test_a_run_may_start_from_an_export(finished, tmp_path):
    _, outcome = finished
    export(tmp_path / "export", outcome.config, outcome.state.variables)
    config = tiny_config()
    config.start_from = str(tmp_path / "export")
    run = setup.prepare(config, tmp_path / "run")
    with contextlib.closing(run.checkpoints), contextlib.closing(run.batches):
        jax.tree.map(
            np.testing.assert_array_equal,
            run.trainer.state.params,
            outcome.state.variables["params"],
        )
        assert run.start == 0


def test_class_heads_start_anew_where_the_categories_are_others(finished, tmp_path):
    _, outcome = finished
    before = outcome.state.variables
    export(tmp_path / "export", outcome.config, before)
    config = outcome.config.copy_and_resolve_references()
    config.categories = ["one", "another"]
    fresh = initial_variables(from_config(config.model, 2), seed=0)
    started = warm_start(tmp_path / "export", fresh, config.categories)
    assert jax.tree.structure(started) == jax.tree.structure(fresh)
    assert started["params"]["semantic"]["classify"]["kernel"].shape[-1] == 2
    for part in ("head", "backbone", "fusion"):
        jax.tree.map(np.testing.assert_array_equal, started["params"][part], before["params"][part])


def test_the_category_head_comes_and_goes(finished, tmp_path):
    _, outcome = finished
    names = outcome.config.categories
    models = {aided: outcome.config.model.copy_and_resolve_references() for aided in (False, True)}
    fresh = {}
    for aided, model in models.items():
        model.category_head = aided
        fresh[aided] = initial_variables(from_config(model, len(names)), seed=1)
    for aided in (False, True):
        config = outcome.config.copy_and_resolve_references()
        config.model = models[aided]
        export(tmp_path / str(aided), config, fresh[aided])
        started = warm_start(tmp_path / str(aided), fresh[not aided], names)
        assert jax.tree.structure(started) == jax.tree.structure(fresh[not aided])


def test_modulators_that_the_run_has_turned_off_are_left_out(finished, tmp_path):
    _, outcome = finished
    before = outcome.state.variables
    export(tmp_path / "export", outcome.config, before)
    model = outcome.config.model.copy_and_resolve_references()
    model.use_spatial = model.use_semantic = False
    fresh = initial_variables(from_config(model, len(outcome.config.categories)), seed=0)
    started = warm_start(tmp_path / "export", fresh, outcome.config.categories)
    assert outcome.config.model.category_head
    assert started["params"].keys() == {"backbone", "category", "head"}
    jax.tree.map(np.testing.assert_array_equal, started["params"]["head"], before["params"]["head"])


def test_an_export_of_another_network_is_no_start(finished, tmp_path):
    _, outcome = finished
    export(tmp_path / "export", outcome.config, outcome.state.variables)
    config = tiny_config()
    config.start_from = str(tmp_path / "export")
    config.model.features = 6
    with pytest.raises(ValueError, match=r"fusion/conv_16/bias: \(8,\) in the export, \(6,\)"):
        setup.prepare(config, tmp_path / "run")
