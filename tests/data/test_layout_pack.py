"""The authors' packs: where they are found, what belongs together, what is refused."""

import numpy as np
import pytest
from toys import write_noise, write_pack

from cosseg_jax.data.builders.layouts.pack import class_called, pack_layout

MASK = np.eye(6, 10, dtype=bool)
LAYOUT = pack_layout("PASCAL_VOC")


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "PASCAL_VOC", dict.fromkeys(("horse/a", "cow/z", "cow/b"), MASK))


def test_entries_by_class_and_stem(pack):
    images = LAYOUT.images(pack)
    assert [(e.category, e.stem) for e in images] == [("cow", "b"), ("cow", "z"), ("horse", "a")]


def test_image_and_mask_of_one_name(pack):
    image = LAYOUT.images(pack)[1]
    assert image.image == pack / "image/cow/z.jpg"
    assert image.mask == pack / "groundtruth/cow/z.png"
    np.testing.assert_array_equal(image.decode(image.mask), MASK)


def test_found_below_and_by_itself(pack):
    assert LAYOUT.find(pack) == LAYOUT.find(pack.parent) == pack


def test_found_under_any_other_name(pack):
    renamed = pack.rename(pack.with_name("my copy"))
    assert LAYOUT.find(renamed) == renamed


def test_not_found_in_another_pack(pack):
    assert pack_layout("MSRC7").find(pack) is None


@pytest.mark.parametrize("missing", ["image", "groundtruth"])
def test_not_found_without_one_of_the_trees(pack, missing):
    (pack / missing).rename(pack / "elsewhere")
    assert LAYOUT.find(pack.parent) is None


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("airplane", "airplane"),
        ("Airplane100", "airplane"),
        ("hot_balloon", "hotballoon"),
        ("Panda1", "panda1"),
        ("panda", "panda"),
        ("car100", "car100"),
    ],
)
def test_class_folders_stand_for_classes_of_the_tables(folder, expected):
    assert class_called(folder, ("airplane", "hotballoon", "panda1")) == expected


def test_images_of_renamed_classes_are_in_their_order(tmp_path):
    pack = write_pack(tmp_path, dict.fromkeys(("Car/a", "airplane/b"), MASK))
    images = pack_layout("Internet_Datasets300", ("airplane", "car")).images(pack)
    assert [image.category for image in images] == ["airplane", "car"]


def test_stems_may_hold_dots_and_spaces(tmp_path):
    write_pack(tmp_path, {"cow/my cow.v2": MASK})
    assert LAYOUT.images(tmp_path)[0].stem == "my cow.v2"


def test_hidden_files_are_passed_over(pack):
    (pack / "image/cow/.DS_Store").write_bytes(b"x")
    (pack / "groundtruth/horse/Thumbs.db").write_bytes(b"x")
    assert len(LAYOUT.images(pack)) == 3


@pytest.mark.parametrize("lone", ["image/cow/lone.jpg", "groundtruth/cow/lone.jpg"])
def test_lone_file(pack, lone):
    write_noise(pack / lone, 10, 6)
    with pytest.raises(ValueError, match=rf"1 files have no counterpart .*{lone}"):
        LAYOUT.images(pack)


def test_two_images_of_one_name(pack):
    write_noise(pack / "image/cow/z.png", 10, 6)
    with pytest.raises(ValueError, match=r"z\.jpg and .*z\.png have the same name"):
        LAYOUT.images(pack)


def test_empty_class(pack):
    for part in ("image", "groundtruth"):
        (pack / part / "sheep").mkdir()
    with pytest.raises(ValueError, match="image/sheep is empty"):
        LAYOUT.images(pack)


def test_class_without_masks(pack):
    (pack / "image/sheep").mkdir()
    with pytest.raises(ValueError, match=r"class folders \['sheep'\] are in only one of"):
        LAYOUT.images(pack)


def test_pack_without_classes(tmp_path):
    for part in ("image", "groundtruth"):
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match="has no class folders"):
        LAYOUT.images(tmp_path)
