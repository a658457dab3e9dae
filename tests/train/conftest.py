"""One finished run, which most tests of training look at."""

from pathlib import Path
from typing import NamedTuple

import pytest
from toy_runs import tiny_config

import train


class FinishedRun(NamedTuple):
    workdir: Path
    result: train.TrainingResult


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> FinishedRun:
    """An uninterrupted run of six steps; tests leave it as it is."""
    workdir = tmp_path_factory.mktemp("run")
    return FinishedRun(workdir, train.train_and_evaluate(tiny_config(), workdir))
