"""`cosseg app` on the command line."""

import argparse
import builtins
import sys
from pathlib import Path

import pytest

from cosseg_jax.cli.app import APP
from cosseg_jax.cli.main import make_parser
from cosseg_jax.errors import UserError
from cosseg_jax.web import server
from cosseg_jax.web.limits import Limits


def parsed(*arguments: str) -> argparse.Namespace:
    return make_parser().parse_args(["app", *arguments])


def test_the_options_reach_the_server(monkeypatch):
    served = []
    monkeypatch.setattr(
        server, "serve", lambda *arguments, **options: served.append((arguments, options))
    )
    given = ("--port", "0", "--checkpoint", "net", "--max-photos", "7", "--max-megabytes", "0.5")
    given += ("--allow-host", "box", "--allow-host", "lab", "--mode", "open", "--refine", "none")
    APP.run(parsed(*given, "--sam-weights", "sam.pt"))
    limits = Limits(photos=7, file_bytes=500_000)
    arguments = ("127.0.0.1", 0, Path("net"), limits, ["box", "lab"])
    options = {"mode": "open", "refine": "", "sam_weights": Path("sam.pt")}
    assert served == [(arguments, options)]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("uvicorn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "cosseg_jax.web.server")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"needs uvicorn.*pip install 'cosseg_jax\[app\]'"):
        APP.run(parsed())


def test_a_port_in_use_is_named():
    with server.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert server.address_of(taken, "127.0.0.1") == f"http://127.0.0.1:{port}/"
        with pytest.raises(UserError, match=f"cannot listen at port {port} of 127.0.0.1"):
            server.listen("127.0.0.1", port)
