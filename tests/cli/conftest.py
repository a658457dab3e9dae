"""Commands that run in the process of the tests share one loaded network."""

import pytest
from golden_network import predictor

from cosseg_jax.cli import network


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands get the tiny network, whatever --checkpoint says."""
    monkeypatch.setattr(network, "load_predictor", lambda options, cold=True: predictor())
