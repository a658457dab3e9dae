"""One finished run, which most tests of training look at."""

from pathlib import Path
from typing import NamedTuple

import pytest
from toy_networks import ToyBackbone
from toy_runs import tiny_config

import train
from cosseg_jax.models.backbones import BACKBONES


class FinishedRun(NamedTuple):
    workdir: Path
    result: train.TrainingResult


@pytest.fixture(autouse=True, scope="session")
def toy_backbone():
    """The backbone of `toy_runs.tiny_config`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "toy", ToyBackbone)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory, toy_backbone) -> FinishedRun:
    """An uninterrupted run of six steps; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("run")
    return FinishedRun(workdir, train.train_and_evaluate(tiny_config(), workdir))
