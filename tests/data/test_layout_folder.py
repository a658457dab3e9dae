"""Users' own folders: where images and masks may lie, what is passed over, what is refused."""

import unicodedata

import numpy as np
import pytest
from PIL import Image
from toys import write_noise

from cosseg_jax.data.builders.layouts.folder import FOLDER
from cosseg_jax.data.file_kinds import IMAGE_SUFFIXES, RAW_SUFFIXES
from cosseg_jax.data.opening import FORMATS
from cosseg_jax.data.registry import load_source
from cosseg_jax.errors import UserError

MASK = np.eye(6, 10, dtype=bool)


def write(root, *names):
    """Writes an image or, below a tree of masks, a mask for each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(MASK).save(path)
        else:
            write_noise(path, 10, 6)
    return root


def listed(root):
    """Class, stem, and whether there is a mask, of each image of a tree that is found."""
    assert FOLDER.find(root) == root
    return [(e.category, e.stem, e.mask is not None) for e in FOLDER.images(root)]


@pytest.mark.parametrize("tree", ["", "image/", "images/"])
def test_images_without_masks(tmp_path, tree):
    write(tmp_path, f"{tree}dog/b.jpg", f"{tree}cow/c.bmp", f"{tree}cow/a.tif")
    assert listed(tmp_path) == [("cow", "a", False), ("cow", "c", False), ("dog", "b", False)]


@pytest.mark.parametrize("tree", ["", "image/", "images/"])
@pytest.mark.parametrize("masks", ["groundtruth", "masks"])
def test_images_with_masks(tmp_path, tree, masks):
    write(tmp_path, f"{tree}dog/b.jpg", f"{tree}cow/a.jpg", f"{masks}/cow/a.png")
    write(tmp_path, f"{masks}/dog/b.png")
    assert listed(tmp_path) == [("cow", "a", True), ("dog", "b", True)]
    np.testing.assert_array_equal(load_source("folder", "test", tmp_path)[1].masks[0], MASK)


def test_images_outside_class_folders_form_a_class_named_after_the_root(tmp_path):
    root = write(tmp_path / "my cows", "b.jpg", "a.jpg")
    assert listed(root) == [("my cows", "a", False), ("my cows", "b", False)]


def test_one_class_with_masks_needs_no_class_folder(tmp_path):
    root = write(tmp_path / "cows", "images/a.jpg", "masks/a.png")
    assert listed(root) == [("cows", "a", True)]


def test_other_files_beside_class_folders_are_passed_over(tmp_path):
    write(tmp_path, "cow/a.jpg")
    (tmp_path / "README.txt").write_text("mine")
    assert listed(tmp_path) == [("cow", "a", False)]


@pytest.mark.parametrize("stray", ["PASCAL_VOC/image/cow/a.jpg", "deep/down/cow/a.jpg"])
def test_other_trees_are_not_taken_for_images(tmp_path, stray):
    write(tmp_path, stray)
    assert FOLDER.find(tmp_path) is None


def test_empty_folder_is_not_taken(tmp_path):
    assert FOLDER.find(tmp_path) is None


def test_images_without_masks_are_named(tmp_path):
    write(tmp_path, *(f"image/cow/{n}.jpg" for n in "abcdef"), "masks/cow/a.png")
    with pytest.raises(ValueError, match="5 images have no mask") as error:
        FOLDER.images(tmp_path)
    assert "cow/b.jpg" in str(error.value)
    assert "cow/f.jpg" not in str(error.value)


def test_masks_without_images_are_named(tmp_path):
    write(tmp_path, "image/cow/a.jpg", "masks/cow/a.png", "masks/dog/a.png")
    with pytest.raises(ValueError, match=r"1 masks have no image .*masks/dog/a\.png"):
        FOLDER.images(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("image/cow/a.jpg", "images/cow/a.jpg"),
        ("image/cow/a.jpg", "masks/cow/a.png", "groundtruth/cow/a.png"),
    ],
)
def test_two_trees_of_one_kind(tmp_path, names):
    write(tmp_path, *names)
    with pytest.raises(ValueError, match="are of one kind; keep one of them"):
        FOLDER.images(tmp_path)


def test_image_beside_class_folders(tmp_path):
    write(tmp_path, "cow/a.jpg", "b.jpg")
    with pytest.raises(ValueError, match=r"b\.jpg lies beside the class folders"):
        FOLDER.images(tmp_path)


def test_files_that_are_not_named_as_images(tmp_path):
    write(tmp_path, "cow/a.jpg")
    for name in ("b.mov", "c.pdf"):
        (tmp_path / f"cow/{name}").write_bytes(b"x")
    with pytest.raises(UserError, match=r"2 files in .*cow are not named as images: .*b\.mov.*pdf"):
        FOLDER.images(tmp_path)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".mpo", ".JPEG", ".jp2", ".avif"])
def test_images_of_every_format_that_is_read(tmp_path, suffix):
    (tmp_path / "cow").mkdir()
    (tmp_path / f"cow/a{suffix}").write_bytes(b"not decoded here")
    assert listed(tmp_path) == [("cow", "a", False)]


def test_every_suffix_of_the_formats_that_are_read_is_known():
    Image.init()
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    assert known <= set(IMAGE_SUFFIXES)
    assert not set(IMAGE_SUFFIXES) & set(RAW_SUFFIXES)


SIDECARS = (
    *("cow/a.AAE", "cow/a.json", "cow/a.jpg.json", "cow/a.xmp", "cow/.DS_Store", "cow/Thumbs.db"),
    *("cow/._a.jpg", "cow/@eaDir/a.jpg", "@eaDir/a.jpg", "__MACOSX/cow/._a.jpg", ".hidden/a.jpg"),
)


@pytest.mark.parametrize("tree", ["", "image/"])
def test_sidecars_and_system_files_are_passed_over(tmp_path, tree):
    write(tmp_path, f"{tree}cow/a.jpg", "masks/cow/a.png")
    for name in SIDECARS:
        for start in (tree, "masks/"):
            path = tmp_path / f"{start}{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"no image")
    (tmp_path / "__MACOSX/masks").mkdir(parents=True, exist_ok=True)
    assert listed(tmp_path) == [("cow", "a", True)]


@pytest.mark.parametrize("tree", ["", "images/"])
def test_names_composed_in_one_tree_and_decomposed_in_the_other(tmp_path, tree):
    for form, place, suffix in (("NFC", tree, "jpg"), ("NFD", "masks/", "png")):
        write(
            tmp_path, *(f"{place}{unicodedata.normalize(form, n)}.{suffix}" for n in ("é/ü", "a/b"))
        )
    assert listed(tmp_path) == [("a", "b", True), ("\u00e9", "\u00fc", True)]


def test_one_name_in_both_unicode_forms(tmp_path):
    write(tmp_path, *(f"cow/{unicodedata.normalize(form, 'é')}.jpg" for form in ("NFC", "NFD")))
    with pytest.raises(UserError, match="have the same name; keep one of them"):
        FOLDER.images(tmp_path)


@pytest.mark.parametrize("tree", ["Images", "IMAGE"])
def test_trees_are_found_in_upper_and_lower_case(tmp_path, tree):
    write(tmp_path, f"{tree}/cow/a.jpg", "Masks/cow/a.png")
    assert listed(tmp_path) == [("cow", "a", True)]


def test_a_class_called_mask(tmp_path):
    write(tmp_path, "mask/venice.jpg", "mask/bali.jpg", "cat/tom.jpg")
    expected = [("cat", "tom", False), ("mask", "bali", False), ("mask", "venice", False)]
    assert listed(tmp_path) == expected


def test_a_class_called_mask_alone(tmp_path):
    assert listed(write(tmp_path, "mask/bali.jpg")) == [("mask", "bali", False)]


@pytest.mark.parametrize("tree", ["", "image/"])
def test_a_class_called_mask_with_masks(tmp_path, tree):
    write(tmp_path, f"{tree}mask/1.jpg", f"{tree}cat/1.jpg", "masks/mask/1.png", "masks/cat/1.png")
    assert listed(tmp_path) == [("cat", "1", True), ("mask", "1", True)]


def test_masks_in_a_folder_called_mask(tmp_path):
    write(tmp_path, "cat/1.jpg", "mask/cat/1.png")
    assert listed(tmp_path) == [("cat", "1", True)]
    root = write(tmp_path / "cats", "1.jpg", "mask/1.png")
    assert listed(root) == [("cats", "1", True)]


def test_a_folder_called_mask_that_may_be_a_class_or_a_tree(tmp_path):
    write(tmp_path, "cat/1.jpg", "cat/2.jpg", "mask/1.png", "mask/2.png")
    with pytest.raises(UserError, match=r"mask may be a class, or hold the masks .*/image, or"):
        FOLDER.images(tmp_path)


def test_images_in_folders_of_a_class_folder_are_not_lost(tmp_path):
    write(tmp_path, "cow/a.jpg", "cow/more/b.jpg")
    with pytest.raises(UserError, match=r"cow/more is a folder of images in the class folder"):
        FOLDER.images(tmp_path)


def test_class_without_images(tmp_path):
    write(tmp_path, "cow/a.jpg")
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*dog is empty"):
        FOLDER.images(tmp_path)


def test_no_masks_in_the_tree_of_masks(tmp_path):
    write(tmp_path, "image/cow/a.jpg")
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="masks is empty"):
        FOLDER.images(tmp_path)
