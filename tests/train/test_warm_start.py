"""Runs that start from an exported network."""

import jax
import numpy as np
import pytest
from toy_runs import tiny_config

from cosseg_jax.errors import UserError
from cosseg_jax.models.ssnm import from_config, initial_variables
from cosseg_jax.train.exporting import export_run
from cosseg_jax.train.run import start_run
from cosseg_jax.train.warm_start import warm_start

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The folder of the finished run's network."""
    folder = tmp_path_factory.mktemp("export")
    export_run(folder, finished.result.config, finished.result.best)
    return folder


def fresh(model, categories: int, seed: int = 0):
    return initial_variables(from_config(model, categories), seed)


def test_a_run_may_start_from_an_export(finished, exported, tmp_path):
    config = tiny_config()
    config.start_from = str(exported)
    with start_run(config, tmp_path) as run:
        assert run.start == 0
        params = run.trainer.state.params
    jax.tree.map(np.testing.assert_array_equal, params, finished.result.best["params"])


def test_class_heads_start_anew_for_other_categories(finished, exported):
    _, (config, _, before) = finished
    variables = fresh(config.model, 2)
    started = warm_start(exported, variables, ["one", "another"])
    assert jax.tree.structure(started) == jax.tree.structure(variables)
    assert started["params"]["semantic"]["classify"]["kernel"].shape[-1] == 2
    for part in ("head", "backbone", "fusion"):
        jax.tree.map(np.testing.assert_array_equal, started["params"][part], before["params"][part])


def test_the_category_head_may_be_added_or_left_out(finished, tmp_path):
    config = finished.result.config
    names = config.categories
    models = {aided: config.model.copy_and_resolve_references() for aided in (False, True)}
    models[False].category_head = False
    variables = {aided: fresh(model, len(names), seed=1) for aided, model in models.items()}
    for aided in (False, True):
        exporting = config.copy_and_resolve_references()
        exporting.model = models[aided]
        export_run(tmp_path / str(aided), exporting, variables[aided])
        started = warm_start(tmp_path / str(aided), variables[not aided], names)
        assert jax.tree.structure(started) == jax.tree.structure(variables[not aided])


def test_modulators_that_the_run_has_turned_off_are_left_out(finished, exported):
    _, (config, _, before) = finished
    model = config.model.copy_and_resolve_references()
    model.use_spatial = model.use_semantic = False
    started = warm_start(exported, fresh(model, len(config.categories)), config.categories)
    assert config.model.category_head
    assert started["params"].keys() == {"backbone", "category", "head"}
    jax.tree.map(np.testing.assert_array_equal, started["params"]["head"], before["params"]["head"])


def test_an_export_of_another_network_is_refused(exported, tmp_path):
    config = tiny_config()
    config.start_from = str(exported)
    config.model.features = 6
    with (
        pytest.raises(UserError, match=r"fusion/conv_16/bias: \(8,\) in the export, \(6,\)"),
        start_run(config, tmp_path),
    ):
        pass
