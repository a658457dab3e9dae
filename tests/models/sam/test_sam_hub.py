"""Where MobileSAM's weights come from, with a hub that needs no network."""

import hashlib
import sys
import types
from pathlib import Path

import pytest

from cosseg_jax.models.sam import hub
from cosseg_jax.models.sam.hub import sam_weights

CONTENT = b"weights"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Puts a hub in place that holds CONTENT, and lists what it was asked for."""
    asked = []

    def hf_hub_download(repo_id: str, filename: str, *, revision: str) -> str:
        asked.append((repo_id, filename, revision))
        path = tmp_path / filename
        path.write_bytes(CONTENT)
        return str(path)

    fake = types.ModuleType("huggingface_hub")
    fake.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    monkeypatch.setattr(hub, "SIZE", len(CONTENT))
    monkeypatch.setattr(hub, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return asked


def test_without_a_path_the_published_file_is_downloaded(asked):
    assert sam_weights().read_bytes() == CONTENT
    assert asked == [("dhkim2810/MobileSAM", "mobile_sam.pt", hub.REVISION)]


def test_a_given_file_is_taken_and_nothing_downloaded(asked, tmp_path):
    path = tmp_path / "own.npz"
    path.touch()
    assert sam_weights(path) == path
    assert sam_weights(str(path)) == path
    assert asked == []


def test_a_missing_file_is_named(asked, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of SAM's weights at .*absent\.pt"):
        sam_weights(tmp_path / "absent.pt")
    assert asked == []


def test_another_size_is_refused(asked, monkeypatch):
    monkeypatch.setattr(hub, "SIZE", 8)
    with pytest.raises(ValueError, match=r"has 7 bytes, the published .* has 8: delete it"):
        sam_weights()


def test_another_digest_is_refused(asked, monkeypatch):
    monkeypatch.setattr(hub, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"has the SHA-256 \w{64}, the published .* has 0{64}"):
        sam_weights()


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError) as raised:
        sam_weights()
    message = str(raised.value)
    assert "pip install 'cosseg-jax[sam]', or give --sam-weights FILE" in message
    assert "\n" not in message


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("of an HTTP client")])
def test_without_a_network_one_line_says_what_to_do(asked, monkeypatch, error):
    def fail(*_, **__) -> Path:
        raise error

    monkeypatch.setattr(sys.modules["huggingface_hub"], "hf_hub_download", fail)
    with pytest.raises(ConnectionError) as raised:
        sam_weights()
    assert "connect to the network or give --sam-weights FILE" in str(raised.value)
    assert "\n" not in str(raised.value)
