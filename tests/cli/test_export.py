"""`cosseg export` on a full disk; tests/export has the files that it writes."""

import resource
from pathlib import Path

import pytest
from golden_network import EXPORT

from cosseg_jax.cli.main import main


def test_a_file_that_cannot_be_written_is_named_and_not_half_there(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
):
    """The limit on files' sizes stands for a full disk, which a test cannot make."""
    module = "cosseg_jax.export.stablehlo.stablehlo"
    monkeypatch.setattr(module, lambda config, variables, group_size: bytes(100_000))
    file = tmp_path / "network.stablehlo"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        arguments = ["--format", "stablehlo", "--checkpoint", str(EXPORT)]
        assert main(["export", str(file), *arguments]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: [Errno 27] File too large: '{file}'"
    assert list(tmp_path.iterdir()) == []
