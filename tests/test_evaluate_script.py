"""evaluate.py from its flags to its files, with a made-up data set and network."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl.testing import flagsaver
from fake_source import SIDE, FakeSource, perfect, without_prior
from ml_collections import ConfigDict
from PIL import Image

import evaluate
from cosseg_jax.errors import UserError

ROOT = Path(__file__).parents[1]
SOURCE = FakeSource([(0,)] * 6 + [(1,)] * 3, categories=2)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch):
    """A data set of 9 photographs; the checkpoint named "nothing" predicts nothing."""

    def make_predictor(config, variables):
        del config
        if variables == "nothing":
            return without_prior(lambda images: np.zeros(images.shape[:-1], np.float32))
        return without_prior(perfect)

    config = ConfigDict({"image_size": SIDE})
    monkeypatch.setattr(evaluate, "load_source", lambda name, split, data_dir: SOURCE)
    monkeypatch.setattr(evaluate, "load_exported", lambda folder: (config, folder))
    monkeypatch.setattr(evaluate, "make_predictor", make_predictor)


def run(**flags) -> None:
    with flagsaver.flagsaver(**({"dataset": "pascal", "checkpoint": "good"} | flags)):
        evaluate.main([])


def test_results_are_written_as_json_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture):
    out = tmp_path / "new" / "results.json"
    run(out=str(out))
    results = json.loads(out.read_text())
    assert (results["dataset"], results["checkpoint"]) == ("pascal", "good")
    assert (results["images"], results["groups"]) == (9, 3)
    assert list(results["protocols"]) == ["original", "ssnm"]
    assert results["protocols"]["original"]["per_class"]["a"] == {"P": 100.0, "J": 100.0}
    printed = capsys.readouterr()
    assert "9 images in 3 groups" in printed.out
    assert "9/9" in printed.err


def test_undefined_figures_are_null(tmp_path: Path):
    out = tmp_path / "results.json"
    run(out=str(out))
    assert json.loads(out.read_text())["group"]["shared_J"] is None


def test_further_protocols_come_after_the_first_two(tmp_path: Path):
    run(out=str(tmp_path / "results.json"), also=["pooled", "ssnm"])
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["protocols"]) == ["original", "ssnm", "pooled"]


def test_every_mask_is_written_at_its_photographs_own_size(tmp_path: Path):
    run(save_masks=str(tmp_path))
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert written == [f"{'a' if i < 6 else 'b'}/photo{i:03d}.png" for i in range(9)]
    for index in (0, 7):
        example = SOURCE[index]
        path = tmp_path / "ab"[index // 6] / f"{example.name}.png"
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), example.masks[0] * 255)


def test_existing_masks_stop_the_run_before_the_network_is_run(tmp_path: Path):
    run(save_masks=str(tmp_path))
    before = len(SOURCE.decoded)
    with pytest.raises(UserError, match="9 of the masks exist"):
        run(save_masks=str(tmp_path))
    assert len(SOURCE.decoded) == before
    run(save_masks=str(tmp_path), force=True)


def test_group_figures_are_computed_when_asked_for(tmp_path: Path):
    out = tmp_path / "results.json"
    run(out=str(out), group_figures=True, unmodulated_checkpoint="nothing")
    group = json.loads(out.read_text())["group"]
    assert group["foreign_empty"] == 0.0
    assert group["foreign_P"] == 50.0
    assert group["gain_alone"] == 0.0
    assert group["gain_unmodulated"] == 100.0


@pytest.mark.parametrize("name", ["dataset", "checkpoint"])
def test_a_missing_flag_is_named(name: str):
    with pytest.raises(UserError, match=f"--{name} is missing"):
        run(**{name: None})


def test_unknown_protocol():
    with pytest.raises(ValueError, match=r"'iou'.*original, ssnm, ufo, pooled"):
        run(also=["iou"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset=nonsense", "--checkpoint=x"), "'nonsense'.*pascal"),
        (("--dataset=shapes", "--checkpoint=nowhere"), "nowhere"),
        (("--dataset=pascal", "--data_dir=nowhere", "--checkpoint=x"), "nowhere"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments: tuple[str, ...], message: str):
    done = subprocess.run(
        [sys.executable, "evaluate.py", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert re.search(message, done.stderr)
