"""Masks as files: their names, their values, and what is never done to a user's files."""

from pathlib import Path

import numpy as np
import pytest
from fake_source import FakeSource
from PIL import Image

from cosseg_jax import mask_files
from cosseg_jax.data.partition import fives
from cosseg_jax.errors import UserError


def test_a_mask_is_an_8_bit_png_of_0_and_255(tmp_path: Path):
    mask = np.arange(15).reshape(3, 5) % 2 == 0  # [3, 5]
    mask_files.save_mask(tmp_path / "cat" / "x.png", mask)
    with Image.open(tmp_path / "cat" / "x.png") as image:
        assert (image.mode, image.size) == ("L", (5, 3))
        np.testing.assert_array_equal(np.asarray(image), mask * 255)


@pytest.mark.parametrize("name", ["img_0001", "cat/img_0001"])
def test_a_mask_lies_under_its_class(name: str):
    assert mask_files.mask_path(Path("out"), "cat", name) == Path("out/cat/img_0001.png")


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
        mask_files.write_whole(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert target.read_text() == "old"


def test_a_name_as_long_as_file_systems_allow_is_written(tmp_path: Path):
    target = tmp_path / ("x" * 251 + ".png")
    mask_files.write_whole(target, b"new")
    assert target.read_bytes() == b"new"


def test_an_existing_mask_is_found_before_anything_is_computed(tmp_path: Path):
    source = FakeSource([(0,)] * 3 + [(1,)] * 2)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo004.png").touch()
    with pytest.raises(UserError, match=r"1 of the masks exist.*b/photo004\.png.*--force"):
        mask_files.check_mask_paths(tmp_path, source, fives(source))
    mask_files.check_mask_paths(tmp_path, source, fives(source), force=True)


def test_two_photographs_may_not_share_a_mask_file(tmp_path: Path):
    source = FakeSource([(0,)] * 2)
    source.names = ["left/photo", "right/photo"]
    with pytest.raises(UserError, match="left/photo and right/photo"):
        mask_files.check_mask_paths(tmp_path, source, fives(source))


def test_a_member_that_completes_a_group_is_no_second_mask(tmp_path: Path):
    source = FakeSource([(0,)] * 6)
    mask_files.check_mask_paths(tmp_path / "new", source, fives(source))


def test_results_are_not_overwritten_unasked(tmp_path: Path):
    out = tmp_path / "results.json"
    mask_files.check_writable(out)
    out.touch()
    with pytest.raises(UserError, match=r"results\.json exists already.*--force"):
        mask_files.check_writable(out)
    mask_files.check_writable(out, force=True)


def test_results_need_a_folder_that_can_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot create the folder .*file"):
        mask_files.check_writable(tmp_path / "file" / "results.json")
    with pytest.raises(UserError, match="is a folder"):
        mask_files.check_writable(tmp_path)
