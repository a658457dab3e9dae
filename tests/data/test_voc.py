"""A VOC devkit, made by the tests: categories, void, layouts, bad files."""

import unicodedata

import numpy as np
import pytest
from PIL import Image
from toys import palette_png, write_devkit, write_noise

from cosseg_jax.data.builders import voc
from cosseg_jax.data.registry import load_source
from cosseg_jax.errors import UserError

CAT, DOG, PERSON = (voc.VOC_CLASSES.index(name) for name in ("cat", "dog", "person"))


def label(*values: int) -> np.ndarray:
    """A label file of 8 x 12 pixels: columns of equal width with the given values."""
    return np.tile(np.repeat(values, 12 // len(values)), (8, 1))


@pytest.fixture
def devkit(tmp_path):
    train = {
        "b_two": label(DOG + 1, 255, 0, PERSON + 1),
        "a_cat": label(0, CAT + 1, 255),
        "c_none": label(0),
    }
    return write_devkit(tmp_path, {"train": train, "val": {"d_dog": label(DOG + 1)}})


def test_images_are_listed_by_name(devkit):
    source = load_source("voc", "train", devkit)
    assert list(source.names) == ["a_cat", "b_two", "c_none"]
    assert len(source) == 3


def test_members_need_no_decoding(devkit):
    source = load_source("voc", "train", devkit)
    held = {source.categories[c]: m.tolist() for c, m in enumerate(source.members) if m.size}
    assert held == {"cat": [0], "dog": [1], "person": [1]}


def test_there_are_twenty_categories(devkit):
    assert len(load_source("voc", "val", devkit).categories) == 20


def test_masks_and_void(devkit):
    example = load_source("voc", "train", devkit)[1]
    assert example.name == "b_two"
    assert example.categories.tolist() == [DOG, PERSON]
    np.testing.assert_array_equal(example.masks[0], label(1, 0, 0, 0) == 1)
    np.testing.assert_array_equal(example.masks[1], label(0, 0, 0, 1) == 1)
    np.testing.assert_array_equal(example.void, label(0, 1, 0, 0) == 1)


def test_image_is_that_of_the_file(devkit):
    example = load_source("voc", "train", devkit)[0]
    direct = Image.open(devkit / "JPEGImages/a_cat.jpg").convert("RGB")
    np.testing.assert_array_equal(example.image, np.array(direct))


def test_image_without_objects(devkit):
    example = load_source("voc", "train", devkit)[2]
    assert example.masks.shape == (0, 8, 12)


def test_splits_are_apart(devkit):
    assert list(load_source("voc", "val", devkit).names) == ["d_dog"]


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_data_dir_may_be_any_of_three_folders(devkit, levels):
    folder = (devkit, *devkit.parents)[levels]
    assert len(load_source("voc", "train", folder)) == 3


def test_index_out_of_range(devkit):
    with pytest.raises(IndexError, match="images 0 to 2, not 3"):
        load_source("voc", "train", devkit)[3]


def test_wrong_folder_is_named_with_the_layout(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"{tmp_path}: expected a VOC 2012 devkit"
    ) as error:
        load_source("voc", "train", tmp_path)
    assert "host.robots.ox.ac.uk" in str(error.value)


def test_missing_split_list(devkit):
    (devkit / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"val\.txt is missing"):
        load_source("voc", "train", devkit)


def test_empty_split_list(devkit):
    (devkit / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"val\.txt names no images"):
        load_source("voc", "train", devkit)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_of_a_split_list(devkit, encoding):
    """Editors on Windows begin a file with a byte order mark, or write UTF-16."""
    file = devkit / "ImageSets/Segmentation/train.txt"
    file.write_text("a_cat\r\nb_two\r\n", encoding=encoding)
    assert list(load_source("voc", "train", devkit).names) == ["a_cat", "b_two"]


def test_split_list_in_another_encoding(devkit):
    (devkit / "ImageSets/Segmentation/train.txt").write_text("köln\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"train\.txt is not text in UTF-8 or UTF-16; save it"):
        load_source("voc", "train", devkit)


def test_names_in_either_unicode_form(tmp_path):
    stored, listed = unicodedata.normalize("NFD", "köln"), unicodedata.normalize("NFC", "köln")
    splits = {"train": {stored: label(CAT + 1)}, "val": {"d": label(0)}}
    devkit = write_devkit(tmp_path, splits)
    (devkit / "ImageSets/Segmentation/train.txt").write_text(f"{listed}\n", encoding="utf-8")
    source = load_source("voc", "train", devkit)
    assert list(source.names) == [listed]
    assert source[0].categories.tolist() == [CAT]


@pytest.mark.parametrize("file", ["JPEGImages/a_cat.jpg", "SegmentationClass/a_cat.png"])
def test_missing_file(devkit, file):
    (devkit / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"{file} is missing, though .* lists 'a_cat'"):
        load_source("voc", "train", devkit)


def test_image_that_does_not_decode(devkit):
    (devkit / "JPEGImages/a_cat.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(ValueError, match=r"a_cat\.jpg does not decode"):
        load_source("voc", "train", devkit)


def test_label_of_another_size(devkit):
    write_noise(devkit / "JPEGImages/a_cat.jpg", 12, 9)
    with pytest.raises(ValueError, match=r"a_cat\.png is 12 x 8 pixels .*a_cat\.jpg 12 x 9"):
        load_source("voc", "train", devkit)


def test_label_with_a_strange_value(devkit):
    palette_png(devkit / "SegmentationClass/a_cat.png", label(0, 21, 255))
    with pytest.raises(ValueError, match=r"a_cat\.png has values \[21\]; expected 0"):
        load_source("voc", "train", devkit)


def test_labels_of_sbd_are_read_where_voc_has_none(devkit):
    """Both kinds of labels as devkits with SBD have them: SegmentationClassAug has all images."""
    own, of_sbd = devkit / "SegmentationClass", devkit / "SegmentationClassAug"
    of_sbd.mkdir()
    (own / "a_cat.png").rename(of_sbd / "a_cat.png")
    (of_sbd / "b_two.png").write_bytes((of_sbd / "a_cat.png").read_bytes())
    source = load_source("voc", "train", devkit)
    assert source[0].categories.tolist() == [CAT]
    assert source[1].categories.tolist() == [DOG, PERSON]  # VOC's own labels come first
