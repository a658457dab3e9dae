"""Servers of the web tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from web_client import Client, FakePredictor, running

import cosseg_jax
from cosseg_jax.predict.predictor import Predictor
from cosseg_jax.web.decoding import DecodingPool


@pytest.fixture
def predictor() -> FakePredictor:
    return FakePredictor()


@pytest.fixture
def client(predictor: FakePredictor) -> Iterator[Client]:
    """A client with a session at a server of its own."""
    with running(predictor) as client:
        yield client.begin()


@pytest.fixture(scope="session")
def network() -> Predictor:
    """The small network of the quick start."""
    return cosseg_jax.load(Path(__file__).parents[1] / "goldens" / "quickstart")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    """Processes that decode uploads, as `cosseg app` has them."""
    pool = DecodingPool()
    yield pool
    pool.close()
