"""Weights from a hub that needs no network; tests/models/sam/test_sam_hub.py has the digests."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cosseg_jax.errors import MissingPackageError, UserError
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.pretrained import flat_names, hub, load_pretrained

SMALL = {"params": {"conv1": {"kernel": np.full((1, 1, 2, 3), 2.0, np.float32)}}}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Puts a hub in place that holds SMALL in every file, and lists what it was asked for."""
    asked = []

    def hf_hub_download(repo_id: str, filename: str, *, revision: str | None) -> str:
        asked.append((repo_id, filename, revision))
        save_file(flat_names(SMALL), tmp_path / filename)
        return str(tmp_path / filename)

    fake = types.ModuleType("huggingface_hub")
    fake.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return asked


@pytest.mark.parametrize(
    ("spec", "repository"),
    [("hub", "timm/vit_small_patch16_dinov3.lvd1689m"), ("hub:me/mine", "me/mine")],
)
def test_a_repository_is_downloaded_and_read(asked, spec, repository):
    found = load_pretrained(spec, "dinov3_small", SMALL)
    np.testing.assert_array_equal(
        found["params"]["conv1"]["kernel"], SMALL["params"]["conv1"]["kernel"]
    )
    assert asked == [(repository, "model.safetensors", None)]


def test_a_backbone_without_published_weights_lists_the_others(asked):
    with pytest.raises(UserError, match=r"model.backbone is 'hrnet_tiny'; choose one of: vgg16"):
        load_pretrained("hub", "hrnet_tiny", SMALL)
    assert asked == []


def test_every_published_file_is_of_a_backbone():
    assert hub.PUBLISHED.keys() <= BACKBONES.keys()


def test_without_the_package_or_the_network_one_line_says_what_to_do(asked, monkeypatch):
    def fail(*_, **__) -> Path:
        raise OSError("no route")

    monkeypatch.setattr(sys.modules["huggingface_hub"], "hf_hub_download", fail)
    with pytest.raises(ConnectionError, match=r"dinov2-small\) cannot be downloaded \(OSError\)"):
        load_pretrained("hub", "dinov2_small", SMALL)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'cosseg-jax\[hub\]', or name a"):
        load_pretrained("hub", "dinov2_small", SMALL)
