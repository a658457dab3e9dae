"""Servers of the web tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from web_client import Client, Told, running

import cosseg_jax
from cosseg_jax.predict.predictor import Predictor


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(told: Told) -> Iterator[Client]:
    """A client with a session at a server of its own."""
    with running(told) as client:
        yield client.begin()


@pytest.fixture(scope="session")
def network() -> Predictor:
    """The small network of the quick start."""
    return cosseg_jax.load(Path(__file__).parents[1] / "goldens" / "quickstart")
