"""A fine-tuned network keeps the second head of the one that it started from, where it fits."""

import jax
import numpy as np
import pytest
from toy_networks import drawn_variables
from toy_runs import tiny_config

from cosseg_jax.models.agnostic_head import AgnosticHead, save_agnostic_head
from cosseg_jax.predict.agnostic import HEAD_FILE, AgnosticNetwork
from cosseg_jax.predict.exported import described_network, export
from cosseg_jax.predict.familiarity import FAMILIARITY_FILE, Familiarity
from cosseg_jax.predict.predictor import load
from cosseg_jax.train.exporting import export_run

SIDE = 64


@pytest.fixture(scope="module")
def config():
    found = tiny_config()
    with found.unlocked():
        found.categories = ["circle", "star"]
    return found


@pytest.fixture(scope="module")
def variables(config):
    images = np.zeros((1, 2, SIDE, SIDE, 3), np.uint8)
    return dict(drawn_variables(described_network(config), images))


@pytest.fixture(scope="module")
def start(config, variables, tmp_path_factory):
    """An exported network with a second head."""
    folder = tmp_path_factory.mktemp("start") / "network"
    export(folder, config, variables)
    coarse, fine = load(folder).network.feature_channels
    shapes = jax.eval_shape(
        AgnosticHead().init,
        jax.random.key(0),
        np.zeros((1, 1, 2, 2, coarse), np.float32),
        np.zeros((1, 1, 4, 4, fine), np.float32),
    )
    save_agnostic_head(folder / HEAD_FILE, jax.tree.map(lambda x: np.ones(x.shape), shapes))
    mean = np.arange(coarse, dtype=np.float32)
    Familiarity(mean, np.eye(3, coarse, dtype=np.float32)).save(folder / FAMILIARITY_FILE)
    return folder


@pytest.fixture
def run(config, start):
    """The config of a run that starts from it."""
    found = config.copy_and_resolve_references()
    found.start_from = str(start)
    return found


def with_other(variables, module, name):
    """The variables after training has changed one part of them."""
    params = variables["params"]
    part = jax.tree.map(lambda x: x + 0.5, params[module][name])
    return variables | {"params": params | {module: params[module] | {name: part}}}


@pytest.mark.parametrize(("categories", "named"), [(["circle", "star"], True), (["a", "b"], False)])
def test_the_head_goes_along(run, variables, start, tmp_path, categories, named):
    """What it knows is named if the class head still has those names."""
    folder = tmp_path / "tuned"
    run.categories = categories
    told = export_run(folder, run, with_other(variables, "head", "predict"), half=True)
    assert told == f"exported to {folder}, with the head for unknown categories"
    assert (folder / HEAD_FILE).read_bytes() == (start / HEAD_FILE).read_bytes()
    predictor = load(folder)
    assert isinstance(predictor.network, AgnosticNetwork)
    channels, _ = predictor.network.feature_channels
    before, after = (Familiarity.load(x / FAMILIARITY_FILE, channels) for x in (start, folder))
    for one, other in zip(before[:2], after[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    assert (before.named, after.named) == (True, named)


@pytest.mark.parametrize("part", [("head", "lateral_16"), ("backbone", "Conv_0")])
def test_a_head_whose_maps_were_trained_stays_behind(run, variables, tmp_path, part):
    told = export_run(tmp_path / "tuned", run, with_other(variables, *part))
    assert told.endswith(", without the head for unknown categories: its maps were trained as well")
    assert not (tmp_path / "tuned" / HEAD_FILE).exists()


def test_without_a_head_before_there_is_none_after(config, run, variables, tmp_path):
    export(tmp_path / "plain", config, variables)
    for start_from in ("", str(tmp_path / "plain")):
        run.start_from = start_from
        folder = tmp_path / f"tuned{len(start_from)}"
        assert export_run(folder, run, variables) == f"exported to {folder}"
        assert not (folder / HEAD_FILE).exists()
