"""The parts of a run that depend on the machine."""

import pytest
from toy_runs import tiny_config

from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.train import setup


@pytest.fixture
def config():
    config = setup.with_categories(tiny_config(), Shapes("train", size=32))
    config.model.spatial.solver = "eigh"
    return config


def test_cpu_devices_that_share_cores_train_without_eigh(config, monkeypatch, capsys):
    monkeypatch.setattr(setup, "cores", lambda: 2)
    assert setup.training_network(config).spatial.solver == "squaring"
    assert "2 CPU devices share 2 cores" in capsys.readouterr().out
    assert config.model.spatial.solver == "eigh"  # what the export says


def test_cpu_devices_with_cores_of_their_own_train_as_the_config_says(config, monkeypatch, capsys):
    monkeypatch.setattr(setup, "cores", lambda: 3)
    assert setup.training_network(config).spatial.solver == "eigh"
    assert capsys.readouterr().out == ""
