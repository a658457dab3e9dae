"""Commands run in this process share one loaded network."""

import pytest
from golden_network import predictor

from cosseg_jax.cli import network


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands get the tiny network, whatever --checkpoint says."""
    monkeypatch.setattr(network, "load_network", lambda options: predictor())
