"""COCO's val2017 as it lies, with all its categories."""

import json

import numpy as np
import pytest
from coco_toys import CAT, DOG, KITE, annotation, box, lists, small_train, write_coco

from cosseg_jax.data.builders.coco.val2017 import load_coco_val
from cosseg_jax.errors import MissingFileError, UserError

CROWD = {"size": [10, 12], "counts": [0, 20, 100]}  # the two columns on the left


@pytest.fixture
def root(tmp_path):
    val = lists(
        [7, 3, 9],
        [
            annotation(7, DOG, box(4, 2, 9, 5), area=1.0),
            annotation(7, CAT, box(1, 2, 5, 5)),
            annotation(7, CAT, CROWD, iscrowd=1),
            annotation(3, KITE),
            annotation(3, DOG, iscrowd=1, segmentation=CROWD),
        ],
    )
    return write_coco(tmp_path / "coco", small_train(), val)


def test_every_instance_counts_however_small(root):
    source = load_coco_val(root.parent)
    assert source.categories == ("cat", "dog", "kite")
    assert source.names == ["000000000003", "000000000007"]
    assert [members.tolist() for members in source.members] == [[1], [1], [0]]
    example = source[1]
    assert example.categories.tolist() == [0, 1]
    expected = np.zeros((2, 10, 12), bool)
    expected[0, 2:5, 1:5] = True
    expected[1, 2:5, 4:9] = True
    np.testing.assert_array_equal(example.masks, expected)
    void = np.zeros((10, 12), bool)
    void[:, :2] = True
    np.testing.assert_array_equal(example.void, void & ~expected[0])


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(MissingFileError, match="no val2017 of COCO in"):
        load_coco_val(tmp_path / "elsewhere")
    (root / "val2017" / "000000000003.jpg").unlink()
    with pytest.raises(MissingFileError, match=r"000000000003.jpg is missing"):
        load_coco_val(root)[0]


def test_an_image_of_another_size_is_refused(root):
    file = root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["images"][1]["width"] = 13
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is 12 x 10 pixels; its annotation file says 13 x 10"):
        load_coco_val(root)[0]
