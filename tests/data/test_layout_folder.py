"""Anyone's own folders: where photographs and masks may lie, and what is refused."""

import numpy as np
import pytest
from PIL import Image
from toys import photograph

from cosseg_jax.data.builders.layouts.folder import LAYOUT
from cosseg_jax.data.registry import load_source

MASK = np.eye(6, 10, dtype=bool)


def write(root, *names):
    """Writes a photograph or, below a tree of masks, a mask for each name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(MASK).save(path)
        else:
            photograph(path, 10, 6)
    return root


def listed(root):
    """Class, stem, and whether there is a mask, of each entry of a tree that is found."""
    assert LAYOUT.find(root) == root
    return [(e.category, e.stem, e.mask is not None) for e in LAYOUT.entries(root)]


@pytest.mark.parametrize("tree", ["", "image/", "images/"])
def test_photographs_without_masks(tmp_path, tree):
    write(tmp_path, f"{tree}dog/b.jpg", f"{tree}cow/c.bmp", f"{tree}cow/a.tif")
    assert listed(tmp_path) == [("cow", "a", False), ("cow", "c", False), ("dog", "b", False)]


@pytest.mark.parametrize("tree", ["", "image/", "images/"])
@pytest.mark.parametrize("masks", ["groundtruth", "masks"])
def test_photographs_with_masks(tmp_path, tree, masks):
    write(tmp_path, f"{tree}dog/b.jpg", f"{tree}cow/a.jpg", f"{masks}/cow/a.png")
    write(tmp_path, f"{masks}/dog/b.png")
    assert listed(tmp_path) == [("cow", "a", True), ("dog", "b", True)]
    np.testing.assert_array_equal(load_source("folder", "test", tmp_path)[1].masks[0], MASK)


def test_photographs_in_no_class_are_one_called_after_the_root(tmp_path):
    root = write(tmp_path / "my cows", "b.jpg", "a.jpg")
    assert listed(root) == [("my cows", "a", False), ("my cows", "b", False)]


def test_one_class_with_masks_needs_no_class_folder(tmp_path):
    root = write(tmp_path / "cows", "images/a.jpg", "masks/a.png")
    assert listed(root) == [("cows", "a", True)]


def test_what_else_lies_beside_class_folders_is_passed_over(tmp_path):
    write(tmp_path, "cow/a.jpg")
    (tmp_path / "README.txt").write_text("mine")
    assert listed(tmp_path) == [("cow", "a", False)]


@pytest.mark.parametrize("stray", ["PASCAL_VOC/image/cow/a.jpg", "deep/down/cow/a.jpg"])
def test_other_trees_are_not_taken_for_photographs(tmp_path, stray):
    write(tmp_path, stray)
    assert LAYOUT.find(tmp_path) is None


def test_empty_folder_is_not_taken(tmp_path):
    assert LAYOUT.find(tmp_path) is None


def test_photographs_without_masks_are_named(tmp_path):
    write(tmp_path, *(f"image/cow/{n}.jpg" for n in "abcdef"), "masks/cow/a.png")
    with pytest.raises(ValueError, match="5 photographs have no mask") as error:
        LAYOUT.entries(tmp_path)
    assert "cow/b.jpg" in str(error.value)
    assert "cow/f.jpg" not in str(error.value)


def test_masks_without_photographs_are_named(tmp_path):
    write(tmp_path, "image/cow/a.jpg", "masks/cow/a.png", "masks/dog/a.png")
    with pytest.raises(ValueError, match=r"1 masks have no photograph .*masks/dog/a\.png"):
        LAYOUT.entries(tmp_path)


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
        LAYOUT.entries(tmp_path)


def test_photograph_beside_class_folders(tmp_path):
    write(tmp_path, "cow/a.jpg", "b.jpg")
    with pytest.raises(ValueError, match=r"b\.jpg lies beside the class folders"):
        LAYOUT.entries(tmp_path)


def test_a_file_that_is_not_called_as_a_picture(tmp_path):
    write(tmp_path, "cow/a.jpg")
    (tmp_path / "cow/b.heic").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"b\.heic lies among pictures .* one of \.avif"):
        LAYOUT.entries(tmp_path)


def test_class_without_photographs(tmp_path):
    write(tmp_path, "cow/a.jpg")
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*dog is empty"):
        LAYOUT.entries(tmp_path)


def test_no_masks_in_the_tree_of_masks(tmp_path):
    write(tmp_path, "image/cow/a.jpg")
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="masks is empty"):
        LAYOUT.entries(tmp_path)
