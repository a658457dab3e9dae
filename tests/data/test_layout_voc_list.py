"""A VOC devkit with a list of images, made by the tests: classes, void, the list, bad files."""

import pickle

import numpy as np
import pytest
from toys import write_devkit

from cosseg_jax.data.builders.layouts import voc_list
from cosseg_jax.data.masks import VOID_LABEL
from cosseg_jax.data.registry import load_source

COW, DOG = 10, 12  # as the devkit counts, from 1
LABELS = {
    "2007_000032": np.array([[COW, COW, 255, 0], [DOG, 0, 0, 255]]),
    "2008_000007": np.array([[0, DOG], [0, 0]]),
}


def labels_of(image):
    assert image.mask is not None
    return image.decode(image.mask)


@pytest.fixture
def root(tmp_path):
    """VOCdevkit/VOC2012 without a list."""
    return write_devkit(tmp_path, {"train": LABELS})


@pytest.fixture
def listed(root):
    (root / "cosegmentation.txt").write_text(
        "# class id\ndog 2008_000007\ndog 2007_000032\ncow 2007_000032\n"
    )
    return root


def test_listed_entries_by_class_and_id(listed):
    found = [(image.category, image.stem) for image in voc_list.VOC_LIST.images(listed)]
    assert found == [("cow", "2007_000032"), ("dog", "2007_000032"), ("dog", "2008_000007")]


def test_labels_are_the_class_and_void_and_else_background(listed):
    cow, dog, _ = pickle.loads(pickle.dumps(voc_list.VOC_LIST.images(listed)))
    assert labels_of(cow).tolist() == [[1, 1, VOID_LABEL, 0], [0, 0, 0, VOID_LABEL]]
    assert labels_of(dog).tolist() == [[0, 0, VOID_LABEL, 0], [1, 0, 0, VOID_LABEL]]


@pytest.mark.parametrize("above", [1, 2])
def test_list_may_lie_above(root, above):
    folder = [root, root.parent, root.parent.parent][above]
    (folder / "cosegmentation.txt").write_text("cow 2007_000032")
    assert len(voc_list.VOC_LIST.images(root)) == 1


def test_two_lists(listed):
    (listed.parent / "cosegmentation.txt").write_text("cow 2007_000032")
    with pytest.raises(ValueError, match=r"both .* list the data set; keep one"):
        voc_list.VOC_LIST.images(listed)


def test_without_a_list(root):
    with pytest.raises(FileNotFoundError, match=r"no list .*VOC2012/cosegmentation\.txt: expected"):
        voc_list.VOC_LIST.images(root)


def test_unknown_class(root):
    (root / "cosegmentation.txt").write_text("cow 2007_000032\nunicorn 2008_000007")
    with pytest.raises(ValueError, match=r"line 2: unknown class 'unicorn'; .*'aeroplane'"):
        voc_list.VOC_LIST.images(root)


def test_id_that_is_not_there(root):
    (root / "cosegmentation.txt").write_text("cow 2007_000032\ncow 2010_000001")
    with pytest.raises(FileNotFoundError, match=r"2 missing.*JPEGImages/2010_000001\.jpg: .*lists"):
        voc_list.VOC_LIST.images(root)


def test_image_without_its_label_file(listed):
    (listed / "SegmentationClass/2008_000007.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 missing.*SegmentationClass/2008_000007\.png"):
        voc_list.VOC_LIST.images(listed)


def test_listed_image_without_its_class(root):
    (root / "cosegmentation.txt").write_text("cow 2008_000007")
    (image,) = voc_list.VOC_LIST.images(root)
    with pytest.raises(ValueError, match=r"no pixel of class 'cow', but of \['dog'\]"):
        labels_of(image)


def test_values_of_no_class(tmp_path):
    root = write_devkit(tmp_path, {"train": {"a": np.array([[COW, 21]])}})
    with pytest.raises(
        ValueError, match=r"a\.png has values \[21\]; expected 0 \(background\), 1 to 20"
    ):
        voc_list.labels_of_class("cow", root / "SegmentationClass/a.png")


@pytest.mark.parametrize("above", [0, 1, 2])
def test_root_is_found_at_the_folder_or_below_it(listed, above):
    assert voc_list.VOC_LIST.find([listed, listed.parent, listed.parent.parent][above]) == listed


def test_a_devkit_without_a_list_is_not_taken_for_it(root):
    assert voc_list.VOC_LIST.find(root) is None


def test_the_papers_own_year_counts_first(listed):
    root = listed
    root.rename(root.parent / "VOC2010")
    write_devkit(root.parent.parent / "other", {"train": LABELS}).rename(root)
    assert voc_list.VOC_LIST.find(root.parent) == root.parent / "VOC2010"


def test_other_folders_are_not_taken_for_it(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    assert voc_list.VOC_LIST.find(tmp_path) is None


def test_as_a_data_set(listed):
    source = load_source("pascal", "test", listed.parent.parent)
    assert list(source.names) == ["cow/2007_000032", "dog/2007_000032", "dog/2008_000007"]
    np.testing.assert_array_equal(source[0].masks[0], [[1, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(source[1].masks[0], [[0, 0, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(source[1].void, [[0, 0, 1, 0], [0, 0, 0, 1]])
