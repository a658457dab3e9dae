"""evaluate.py from its flags to its files, with a made-up data set and network."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from absl.testing import flagsaver
from fake_source import SIDE, FakeSource, perfect, segmenter
from ml_collections import ConfigDict
from PIL import Image

import evaluate
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import benchmark
from cosseg_jax.evaluation.ablation import VARIANTS

ROOT = Path(__file__).parents[2]
SOURCE = FakeSource([(0,)] * 6 + [(1,)] * 3, categories=2)
SOURCE.name = "pascal"


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch):
    """A data set of 9 images; the checkpoints called "neither" predict nothing."""

    def load_source(name: str, split: str, data_dir):
        if name != "pascal":
            raise FileNotFoundError(f"no {name}")
        return SOURCE

    def load(folder, **options):
        name = Path(folder).name
        model = VARIANTS.get(name, VARIANTS["full"])._asdict()
        predict = (lambda images: np.zeros(images.shape[:-1])) if name == "neither" else perfect
        config = ConfigDict({"image_size": SIDE, "model": model})
        return SimpleNamespace(
            config=config, network=segmenter(predict), refiner=lambda: None, options=options
        )

    monkeypatch.setattr(evaluate, "load_source", load_source)
    monkeypatch.setattr(benchmark, "load_source", load_source)
    monkeypatch.setattr(benchmark, "load", load)


def run(**flags) -> None:
    with flagsaver.flagsaver(**({"dataset": "pascal", "checkpoint": "good"} | flags)):
        evaluate.main([])


def results_of(tmp_path: Path, **flags) -> dict:
    out = tmp_path / "new" / "results.json"
    run(out=str(out), **flags)
    return json.loads(out.read_text())


def test_results_are_written_as_json_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture):
    results = results_of(tmp_path)
    assert (results["dataset"], results["checkpoint"]) == ("pascal", "good")
    assert (results["images"], results["groups"]) == (9, 3)
    assert list(results["protocols"]) == ["original", "ssnm", "ufo", "pooled"]
    assert results["protocols"]["original"]["per_class"]["a"] == {"P": 100.0, "J": 100.0}
    printed = capsys.readouterr()
    assert "9 photos in 3 groups" in printed.out
    assert "Table 4 of the paper" in printed.out
    assert "27/27" in printed.err  # own groups, alone, foreign


def test_the_figures_of_groups_are_computed(tmp_path: Path):
    group = results_of(tmp_path, unmodulated_checkpoint="neither")["group"]
    assert (group["foreign_empty"], group["foreign_P"]) == (0.0, 50.0)
    assert (group["gain_alone"], group["gain_unmodulated"]) == (0.0, 100.0)


def test_undefined_figures_and_those_left_out_are_null(tmp_path: Path):
    group = results_of(tmp_path, group_metrics=False)["group"]
    assert group["shared_J"] is None
    assert group["foreign_empty"] is group["gain_alone"] is None


def test_some_categories_of_the_data_set(tmp_path: Path):
    name = SOURCE.categories[1]
    content = results_of(tmp_path, categories=[name])
    assert content["images"] == 3
    assert list(content["protocols"]["original"]["per_class"]) == [name]


def test_the_categories_that_a_network_never_saw(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"held_out": [SOURCE.categories[0]]}))
    content = results_of(tmp_path, checkpoint=str(tmp_path), categories=["held_out"])
    assert content["images"] == 6
    (tmp_path / "config.json").write_text(json.dumps({"held_out": []}))
    with pytest.raises(UserError, match="has seen all"):
        run(checkpoint=str(tmp_path), categories=["held_out"])


def test_original_and_ssnm_are_never_left_out(tmp_path: Path):
    results = results_of(tmp_path, protocols=["pooled", "ssnm"])
    assert list(results["protocols"]) == ["original", "ssnm", "pooled"]


def test_the_grouping_is_chosen_by_flags(tmp_path: Path, capsys: pytest.CaptureFixture):
    results = results_of(tmp_path, grouping="random:2", group_size=3, seed=4)
    assert (results["grouping"], results["group_size"], results["seed"]) == ("random:2", 3, 4)
    assert results["groups"] == 3
    assert results["protocols"]["original"]["J"] == {"mean": 100.0, "std": 0.0, "each": [100.0] * 2}
    assert "100.0 ± 0.0" in capsys.readouterr().out


@pytest.mark.parametrize("style", ["terminal", "markdown", "latex"])
def test_styles_for_reading_hold_all_tables(style: str, capsys: pytest.CaptureFixture):
    run(table=style, group_metrics=False)
    printed = capsys.readouterr().out
    assert "Faktor and Irani 2013" in printed
    assert "shared" in printed


def test_csv_on_stdout_is_nothing_but_csv(capsys: pytest.CaptureFixture):
    run(table="csv")
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["table"] for line in lines} == {"pascal", "table 4", "pascal group"}
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", line["value"]) for line in lines)


def test_json_on_stdout_is_the_json_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture):
    results = results_of(tmp_path, table="json")
    assert json.loads(capsys.readouterr().out) == results


def test_every_mask_is_written_at_its_images_own_size(tmp_path: Path):
    run(save_masks=str(tmp_path), group_metrics=False)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert written == [f"{'a' if i < 6 else 'b'}/photo{i:03d}.png" for i in range(9)]
    for index in (0, 7):
        example = SOURCE[index]
        path = tmp_path / "ab"[index // 6] / f"{example.name}.png"
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), example.masks[0] * 255)


def test_existing_masks_stop_the_run_before_the_network_is_run(tmp_path: Path):
    run(save_masks=str(tmp_path), group_metrics=False)
    before = len(SOURCE.decoded)
    with pytest.raises(UserError, match="9 of the masks exist"):
        run(save_masks=str(tmp_path), group_metrics=False)
    assert len(SOURCE.decoded) == before
    run(save_masks=str(tmp_path), group_metrics=False, force=True)


def test_a_report_shows_every_image(tmp_path: Path):
    run(report=str(tmp_path), group_metrics=False)
    page = (tmp_path / "index.html").read_text()
    assert all(page.count(f"photo{index:03d}") for index in range(9))
    assert (tmp_path / "sheets" / "overview.png").is_file()
    with pytest.raises(UserError, match=r"index\.html exists already"):
        run(report=str(tmp_path), group_metrics=False)


def test_reports_of_all_data_sets_have_folders_of_their_own(tmp_path: Path):
    run(dataset="all", report=str(tmp_path), group_metrics=False)
    assert (tmp_path / "pascal" / "index.html").is_file()


def test_all_data_sets_that_are_there(tmp_path: Path, capsys: pytest.CaptureFixture):
    masks = tmp_path / "masks"
    results = results_of(tmp_path, dataset="all", save_masks=str(masks), group_metrics=False)
    assert list(results["results"]) == ["pascal"]
    missing = ["msrc", "internet", "icoseg", *benchmark.FURTHER]
    assert list(results["missing"]) == missing
    assert [table["name"] for table in results["tables"]] == ["table 4", "pascal group", "all"]
    assert len(list((masks / "pascal").rglob("*.png"))) == 9
    assert "not found: msrc, internet, icoseg" in capsys.readouterr().out


def test_measures_of_co_salient_object_detection_are_asked_for(tmp_path: Path, capsys):
    found = results_of(tmp_path, measures=True)["measures"]["pascal"]
    assert found["images"] == 9
    assert found["max_f"] == pytest.approx(100, abs=0.1)
    assert found["mae"] < 5 < 95 < found["s_measure"]
    assert "Measures of co-salient object detection" in capsys.readouterr().out
    assert "measures" not in results_of(tmp_path, force=True)


def test_table_5_of_four_checkpoints(tmp_path: Path, capsys: pytest.CaptureFixture):
    for name, variant in VARIANTS.items():
        (tmp_path / name).mkdir()
        config = {"model": variant._asdict(), "steps": 7 if name == "full" else 8}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    results = results_of(tmp_path, checkpoint=None, ablation=str(tmp_path))
    assert list(results["results"]) == list(VARIANTS)
    assert results["results"]["full"]["group"]["gain_unmodulated"] == 100.0
    (table,) = results["tables"]
    assert table["rows"][3]["variant"] == "neither"
    assert (table["rows"][3]["paper J"], table["rows"][3]["original J"]) == (27, 0.0)
    assert "neither was trained with steps = 8, full with 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"dataset": None}, "--dataset is missing"),
        ({"ablation": "dir"}, "--checkpoint does not go with --ablation"),
        ({"ablation": "dir", "checkpoint": None, "save_masks": "m"}, "--save_masks does not go"),
        ({"ablation": "dir", "checkpoint": None, "dataset": "all"}, "--dataset all goes with"),
        ({"dataset": "all", "split": "test"}, "--dataset all goes with"),
        ({"dataset": "all", "categories": ["cat"]}, "--dataset all goes with"),
        ({"ablation": "d", "checkpoint": None, "categories": ["held_out"]}, "asks one network"),
        ({"protocols": ["iou"]}, r"'iou'.*original, ssnm, ufo, pooled"),
        ({"grouping": "sixes"}, r"'sixes'.*fives, whole, random:K"),
        ({"group_size": 0}, "group_size is 0"),
    ],
)
def test_wrong_flags_are_named_before_anything_is_loaded(flags: dict, message: str, monkeypatch):
    def load_source(*_):
        raise AssertionError("too late")

    monkeypatch.setattr(evaluate, "load_source", load_source)
    with pytest.raises(ValueError, match=message):
        run(**flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset=nonsense", "--checkpoint=x"), "'nonsense'.*pascal"),
        (("--dataset=shapes", "--checkpoint=nowhere"), "nowhere"),
        (("--dataset=pascal", "--data_dir=nowhere", "--checkpoint=x"), "nowhere"),
        (("--dataset=shapes", "--ablation=nowhere"), "nowhere lacks.*configs/ablation.py:full"),
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
