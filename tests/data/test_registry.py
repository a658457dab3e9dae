"""Data sets by name, and how their folder is found."""

import numpy as np
import pytest
from toys import write_pack

from cosseg_jax.data.registry import load_source
from cosseg_jax.data.source import Source
from cosseg_jax.errors import MissingFileError, UserError


def test_built_in_data_needs_no_folder(monkeypatch):
    monkeypatch.delenv("COSSEG_DATA_DIR", raising=False)
    source = load_source("shapes", "val")
    assert isinstance(source, Source)
    assert source[0].image.ndim == 3


def test_unknown_data_set():
    with pytest.raises(
        UserError, match=r"'cocoa'; expected one of \[.*'pascal', 'shapes', 'voc'\]"
    ):
        load_source("cocoa", "train")


@pytest.mark.parametrize(("name", "splits"), [("voc", "'train', 'val'"), ("pascal", "'test'")])
def test_unknown_split(name, splits):
    with pytest.raises(UserError, match=rf"no split 'dev'; expected one of \[{splits}\]"):
        load_source(name, "dev")


def test_no_data_dir(monkeypatch):
    monkeypatch.delenv("COSSEG_DATA_DIR", raising=False)
    with pytest.raises(UserError, match=r"'voc' needs the folder .* COSSEG_DATA_DIR"):
        load_source("voc", "train")


def test_data_dir_that_does_not_exist(tmp_path):
    with pytest.raises(MissingFileError, match=f"data_dir {tmp_path / 'nowhere'} is not a folder"):
        load_source("voc", "train", tmp_path / "nowhere")


def test_data_dir_from_the_environment(tmp_path, monkeypatch):
    write_pack(tmp_path, {"cow/a": np.eye(4, dtype=bool)})
    monkeypatch.setenv("COSSEG_DATA_DIR", str(tmp_path))
    source = load_source("pascal", "test")
    assert isinstance(source, Source)
    assert source.name == "pascal"


def test_the_argument_overrides_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("COSSEG_DATA_DIR", str(tmp_path / "nowhere"))
    write_pack(tmp_path / "here", {"cow/a": np.eye(4, dtype=bool)})
    assert len(load_source("pascal", "test", str(tmp_path / "here"))) == 1
