"""The mask files that an evaluation writes."""

from pathlib import Path

import pytest
from fake_source import FakeSource

from cosseg_jax.data.eval_groups import fives
from cosseg_jax.errors import UserError
from cosseg_jax.evaluation import saved_masks


@pytest.mark.parametrize("name", ["img_0001", "cat/img_0001"])
def test_a_mask_lies_under_its_class(name: str):
    assert saved_masks.mask_path(Path("out"), "cat", name) == Path("out/cat/img_0001.png")


def test_names_of_mask_files_are_allowed_on_every_system():
    found = saved_masks.mask_path(Path("out"), "a?", "a?/12:30")
    assert found == Path("out/a_/12_30.png")


def test_an_existing_mask_is_found_before_anything_is_computed(tmp_path: Path):
    source = FakeSource([(0,)] * 3 + [(1,)] * 2)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo004.png").touch()
    with pytest.raises(UserError, match=r"1 of the masks exist.*b/photo004\.png.*--force"):
        saved_masks.check_mask_paths(tmp_path, source, fives(source))
    saved_masks.check_mask_paths(tmp_path, source, fives(source), force=True)


@pytest.mark.parametrize("names", [["left/photo", "right/photo"], ["a/1:2", "a/1_2"], ["X", "x"]])
def test_two_images_may_not_share_a_mask_file(tmp_path: Path, names: list[str]):
    source = FakeSource([(0,)] * 2)
    source.names = names
    with pytest.raises(UserError, match=" and ".join(names)):
        saved_masks.check_mask_paths(tmp_path, source, fives(source))


def test_a_member_that_completes_a_group_is_no_second_mask(tmp_path: Path):
    source = FakeSource([(0,)] * 6)
    saved_masks.check_mask_paths(tmp_path / "new", source, fives(source))
