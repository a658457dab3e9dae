"""Exports: they predict as the run does, are written whole, and never replace anything else."""

import json

import jax
import numpy as np
import pytest
from toy_runs import tiny_config

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.train.exporting import check_target, export_run

pytestmark = pytest.mark.slow  # most need a finished run


def test_an_export_holds_the_best_variables_and_the_config(finished, tmp_path):
    _, (config, _, best) = finished
    assert export_run(tmp_path / "out", config, best) == f"exported to {tmp_path / 'out'}"
    loaded, variables = load_exported(tmp_path / "out")
    assert loaded.categories == config.categories
    jax.tree.map(np.testing.assert_array_equal, variables, best)


def test_an_export_in_half_precision_restores_to_nearly_the_same(finished, tmp_path):
    _, (config, _, best) = finished
    export_run(tmp_path / "half", config, best, half=True)
    _, loaded = load_exported(tmp_path / "half")
    for one, other in zip(jax.tree.leaves(best), jax.tree.leaves(loaded), strict=True):
        assert one.dtype == other.dtype
        expected = np.float32(np.float16(one)) if one.ndim > 1 else one
        np.testing.assert_array_equal(expected, other)


@pytest.mark.parametrize("half", [False, True])
def test_the_same_export_again_is_no_error(finished, tmp_path, half):
    _, (config, _, best) = finished
    check_target(tmp_path / "out", config)
    export_run(tmp_path / "out", config, best, half=half)
    check_target(tmp_path / "out", tiny_config())
    assert "already holds this network" in export_run(tmp_path / "out", config, best, half=half)


def test_what_a_killed_export_has_left_is_replaced(finished, tmp_path):
    _, (config, _, best) = finished
    left = tmp_path / ".out.unfinished"
    left.mkdir()
    (left / "config.json").write_text("{")
    export_run(tmp_path / "out", config, best)
    load_exported(tmp_path / "out")
    assert not left.exists()


def test_a_kernel_that_half_precision_cannot_hold_is_named(finished, tmp_path):
    _, (config, _, best) = finished
    large = jax.tree.map(lambda x: 1e6 * x, best)
    with pytest.raises(UserError, match=r"\['kernel'\] does not fit half precision"):
        export_run(tmp_path / "half", config, large, half=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused_before_training(tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="not an empty folder"):
        check_target(tmp_path, tiny_config())
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into .*Not a directory"):
        check_target(tmp_path / "file" / "out", tiny_config())


def test_the_export_of_another_run_is_refused(finished, tmp_path):
    _, (config, _, best) = finished
    export_run(tmp_path / "out", config, best)
    other = tiny_config()
    other.seed, other.steps = 1, 8
    with pytest.raises(UserError, match=r"seed: 0 in the run, 1 now; steps: 6 in the export, 8"):
        check_target(tmp_path / "out", other)
    with pytest.raises(UserError, match="with other parameters"):
        export_run(tmp_path / "out", config, jax.tree.map(lambda x: x + 1, best))


def test_an_edited_config_is_refused_with_the_arrays_that_do_not_fit(finished, tmp_path):
    _, (config, _, best) = finished
    export_run(tmp_path / "out", config, best)
    path = tmp_path / "out" / "config.json"
    edited = json.loads(path.read_text())
    edited["model"]["features"] = 16
    path.write_text(json.dumps(edited))
    with pytest.raises(UserError, match=r"params/head/predict/kernel: \(1, 1, 8, 1\) in the check"):
        load_exported(tmp_path / "out")


def test_a_folder_that_is_no_export_is_refused_with_what_to_do(finished, tmp_path):
    with pytest.raises(MissingFileError, match=r"holds no config\.json"):
        load_exported(tmp_path)
    with pytest.raises(MissingFileError, match="export its best checkpoint"):
        load_exported(finished.workdir)
