"""A process that was forked after a network was loaded raises, where JAX would wait for ever."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.predict import chunked, forking

FORKED = """
import os
from cosseg_jax.predict.forking import check_not_forked, forks_so_far

before = forks_so_far()
if os.fork():
    check_not_forked(before)
    print("parent:", os.wait()[1])
else:
    try:
        check_not_forked(before)
    except ValueError as error:
        print("child:", error, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_only_the_forked_process_raises():
    ended = subprocess.run(
        [sys.executable, "-c", FORKED],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    child, parent = ended.stdout.splitlines()
    assert child.startswith("child: this process was forked after the network was loaded")
    assert parent == "parent: 0"


def test_a_network_is_not_called_in_a_forked_process(monkeypatch):
    network = object.__new__(chunked.ChunkedNetwork)
    network._forks = forking.forks_so_far()
    monkeypatch.setattr(forking, "_forks", [network._forks + 1])
    with pytest.raises(UserError, match=r"load the network in the process .*\"spawn\""):
        network.encode([])
