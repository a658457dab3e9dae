"""`cosseg info`: facts about versions, the network and the cache."""

import json
from pathlib import Path

import jax
import pytest
from golden_network import EXPORT

from cosseg_jax.cli.main import main
from cosseg_jax.predict import exported


@pytest.mark.slow
def test_the_json_has_versions_devices_network_and_cache(capsys, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("COSSEG_CACHE_DIR", str(tmp_path))
    (tmp_path / "a").write_bytes(bytes(10))
    assert main(["info", "--checkpoint", str(EXPORT), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["jax"] == jax.__version__
    assert len(facts["devices"]) == jax.device_count()
    assert facts["cache"] == {"folder": str(tmp_path), "bytes": 10}
    network = facts["network"]
    config, variables = exported.load_exported(EXPORT)
    assert network["backbone"] == config.model.backbone
    assert network["categories"] == list(config.categories)
    assert network["image_size"] == 96
    assert network["parameters"] == sum(x.size for x in jax.tree.leaves(variables["params"]))
    assert network["stored_as"] == ["float32"]


@pytest.mark.slow
def test_half_precision_is_shown(capsys, tmp_path: Path):
    config, variables = exported.load_exported(EXPORT)
    exported.export(tmp_path / "half", config, variables, half=True)
    assert main(["info", "--checkpoint", str(tmp_path / "half")]) == 0
    assert "stored as float16 and float32" in capsys.readouterr().out


def test_an_installation_without_a_network_says_so(capsys, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(exported, "SHIPPED_FOLDER", tmp_path / "nowhere")
    assert main(["info"]) == 0
    assert "none comes with this installation; give --checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_that_is_no_export_is_named(capsys, tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()
    assert main(["info", "--checkpoint", str(tmp_path / name)]) == 2
    assert f"error: no checkpoint in {tmp_path / name}" in capsys.readouterr().err
