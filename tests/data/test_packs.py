"""A benchmark pack, made on the spot: entries, suffixes, masks, bad files."""

import numpy as np
import pytest
from PIL import Image
from toys import photograph, write_pack

from cosseg_jax.data.sources import load_source

LEFT, RIGHT = np.zeros((6, 10), bool), np.zeros((6, 10), bool)
LEFT[:, :3], RIGHT[:, 8:] = True, True


@pytest.fixture
def pack(tmp_path):
    """Two classes that share a photograph, each with a mask of its own."""
    return write_pack(
        tmp_path / "PASCAL_VOC", {"horse/b": RIGHT, "cow/b": LEFT, "horse/a": RIGHT, "cow/z": LEFT}
    )


def test_an_entry_for_every_class_of_a_photograph(pack):
    source = load_source("pascal", "test", pack)
    assert list(source.names) == ["cow/b", "cow/z", "horse/a", "horse/b"]
    assert source.categories == ("cow", "horse")
    assert [members.tolist() for members in source.members] == [[0, 1], [2, 3]]


def test_each_entry_has_the_mask_of_its_own_class(pack):
    source = load_source("pascal", "test", pack)
    np.testing.assert_array_equal(source[0].masks, LEFT[None])
    np.testing.assert_array_equal(source[3].masks, RIGHT[None])
    assert (source[0].categories.tolist(), source[3].categories.tolist()) == ([0], [1])


def test_nothing_is_void(pack):
    assert not load_source("pascal", "test", pack)[0].void.any()


def test_photograph_is_the_files_own(pack):
    direct = np.array(Image.open(pack / "image/horse/a.jpg"))
    np.testing.assert_array_equal(load_source("pascal", "test", pack)[2].image, direct)


def test_data_dir_may_be_the_folder_above(pack):
    assert len(load_source("pascal", "test", pack.parent)) == 4


@pytest.mark.parametrize("suffix", [".bmp", ".JPEG", ".tif", ".webp", ".gif", ".png"])
def test_any_suffix(tmp_path, suffix):
    pack = write_pack(tmp_path, {"cow/a": LEFT}, suffix)
    with Image.open(pack / f"image/cow/a{suffix}") as file:
        direct = np.array(file.convert("RGB"))
    np.testing.assert_array_equal(load_source("pascal", "test", pack)[0].image, direct)


def test_stems_may_hold_dots_and_spaces(tmp_path):
    pack = write_pack(tmp_path, {"cow/my cow.v2": LEFT})
    assert list(load_source("pascal", "test", pack).names) == ["cow/my cow.v2"]


def test_hidden_files_are_passed_over(pack):
    (pack / "image/cow/.DS_Store").write_bytes(b"x")
    (pack / "groundtruth/horse/Thumbs.db").write_bytes(b"x")
    assert len(load_source("pascal", "test", pack)) == 4


def test_grey_jpeg_mask(pack):
    (pack / "groundtruth/cow/z.png").unlink()
    Image.fromarray(LEFT * np.uint8(255)).save(pack / "groundtruth/cow/z.jpg", quality=100)
    np.testing.assert_array_equal(load_source("pascal", "test", pack)[1].masks[0], LEFT)


def test_photograph_without_the_object(tmp_path):
    pack = write_pack(tmp_path, {"cow/a": np.zeros((4, 4), bool)})
    source = load_source("pascal", "test", pack)
    assert not source[0].masks.any()
    assert source.members[0].tolist() == [0]


@pytest.mark.parametrize("lone", ["image/cow/lone.jpg", "groundtruth/cow/lone.jpg"])
def test_lone_file(pack, lone):
    photograph(pack / lone, 10, 6)
    with pytest.raises(ValueError, match=rf"no counterpart .*{lone}"):
        load_source("pascal", "test", pack)


def test_two_photographs_of_one_name(pack):
    photograph(pack / "image/cow/z.png", 10, 6)
    with pytest.raises(ValueError, match=r"z\.jpg and .*z\.png have the same name"):
        load_source("pascal", "test", pack)


def test_empty_class(pack):
    for part in ("image", "groundtruth"):
        (pack / part / "sheep").mkdir()
    with pytest.raises(ValueError, match="image/sheep is empty"):
        load_source("pascal", "test", pack)


def test_class_without_masks(pack):
    (pack / "image/sheep").mkdir()
    with pytest.raises(ValueError, match=r"class folders \['sheep'\] are in only one of"):
        load_source("pascal", "test", pack)


def test_pack_without_classes(tmp_path):
    for part in ("image", "groundtruth"):
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match="has no class folders"):
        load_source("pascal", "test", tmp_path)


def test_mask_of_another_size(pack):
    photograph(pack / "image/cow/z.jpg", 10, 7)
    with pytest.raises(ValueError, match=r"z\.png is 10 x 6 pixels .*z\.jpg 10 x 7"):
        load_source("pascal", "test", pack)


@pytest.mark.parametrize("file", ["image/cow/z.jpg", "groundtruth/cow/z.png"])
def test_file_that_does_not_decode(pack, file):
    (pack / file).write_bytes(b"nothing")
    with pytest.raises(ValueError, match=rf"{file} does not decode"):
        load_source("pascal", "test", pack)


def test_wrong_folder_is_named_with_the_layout(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"PASCAL_VOC in {tmp_path}: expected a benchmark"):
        load_source("pascal", "test", tmp_path)
