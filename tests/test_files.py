"""Masks as files: their names, their values, and what is never done to a user's files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosseg_jax import files
from cosseg_jax.errors import UserError


def test_a_mask_is_an_8_bit_png_of_0_and_255(tmp_path: Path):
    mask = np.arange(15).reshape(3, 5) % 2 == 0  # [3, 5]
    files.save_mask(tmp_path / "cat" / "x.png", mask)
    with Image.open(tmp_path / "cat" / "x.png") as image:
        assert (image.mode, image.size) == ("L", (5, 3))
        np.testing.assert_array_equal(np.asarray(image), mask * 255)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "results.json"
    target.write_text("old")

    def full_disk(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:1])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        files.write_whole(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert target.read_text() == "old"


def test_a_name_as_long_as_file_systems_allow_is_written(tmp_path: Path):
    target = tmp_path / ("x" * 251 + ".png")
    files.write_whole(target, b"new")
    assert target.read_bytes() == b"new"


def test_results_are_not_overwritten_unasked(tmp_path: Path):
    out = tmp_path / "results.json"
    files.check_writable(out)
    out.touch()
    with pytest.raises(UserError, match=r"results\.json exists already.*--force"):
        files.check_writable(out)
    files.check_writable(out, force=True)


def test_results_need_a_folder_that_can_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot create the folder .*file"):
        files.check_writable(tmp_path / "file" / "results.json")
    with pytest.raises(UserError, match="is a folder"):
        files.check_writable(tmp_path)
