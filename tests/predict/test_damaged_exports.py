"""Exported networks whose files are damaged, cut or missing: one line that says what to do."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from cosseg_jax.errors import MissingFileError, NotFiniteError, UserError
from cosseg_jax.predict.exported import export, load_config, load_variables

VARIABLES = {"params": {"kernel": np.arange(4096, dtype=np.float32).reshape(64, 64)}}
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0f3c\nsize 16384\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "whole"
    export(folder, ConfigDict({"seed": 1}), VARIABLES)
    return folder


@pytest.fixture
def copied(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "net"))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "variables").rglob("*") if path.is_file())


def largest(folder: Path) -> Path:
    return max(files_of(folder), key=lambda path: path.stat().st_size)


def load(folder: Path) -> dict:
    return load_variables(folder, VARIABLES)


def test_a_whole_folder_is_read(copied):
    jax.tree.map(np.testing.assert_array_equal, load(copied), VARIABLES)


def test_a_cut_file_is_told_of(copied):
    path = largest(copied)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"net are damaged or incomplete \(.+\); copy or download"):
        load(copied)


def is_refused(folder: Path) -> bool:
    try:
        jax.tree.map(np.testing.assert_array_equal, load(folder), VARIABLES)
    except UserError:
        return True
    return False


def test_each_missing_file_is_told_of_or_not_needed(whole, tmp_path):
    refused = 0
    for number, file in enumerate(files_of(whole)):
        copied = Path(shutil.copytree(whole, tmp_path / f"net{number}"))
        (copied / file.relative_to(whole)).unlink()
        refused += is_refused(copied)
    assert refused > 1


def test_pointers_of_git_lfs_are_told_of(copied):
    for path in files_of(copied):
        path.write_text(LFS_POINTER)
    with pytest.raises(UserError, match=r"variables are pointers of Git LFS.*git lfs pull"):
        load(copied)


def test_a_folder_without_variables_is_told_of(copied):
    shutil.rmtree(copied / "variables")
    with pytest.raises(MissingFileError, match=r"net: it holds no variables/ folder"):
        load(copied)


@pytest.mark.parametrize("content", [LFS_POINTER.encode(), b"\xff\xfe{", b"[" * 100_000, b""])
def test_a_config_that_is_no_json_is_told_of(copied, content):
    (copied / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config.json is not valid JSON"):
        load_config(copied)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    kernel = np.zeros((8, 8), np.float32)
    kernel[3, 4] = value
    export(
        tmp_path / "net", ConfigDict({"seed": 1}), {"params": {"kernel": kernel, "bias": kernel[0]}}
    )
    with pytest.raises(NotFiniteError, match=r"net has values .* in params/kernel: it is damaged"):
        load_variables(tmp_path / "net", {"params": {"kernel": kernel, "bias": kernel[0]}})
