"""COCO's format: run lengths by hand and by pycocotools."""

import json

import numpy as np
import pytest

from cosseg_jax.cli.coco_json import bounding_box, data_set, run_lengths, segmented

MASKS = {
    "mixed": np.random.default_rng(0).random((7, 5)) > 0.6,
    "empty": np.zeros((3, 4), bool),
    "full": np.ones((3, 4), bool),
    "one pixel": np.ones((1, 1), bool),
    "corner": np.eye(4, dtype=bool)[:2],
}


def test_runs_go_down_the_columns_and_begin_with_what_is_off():
    mask = np.array([[0, 0, 1], [0, 1, 1]], bool)
    assert run_lengths(mask) == [3, 3]
    assert run_lengths(~mask) == [0, 3, 3]


def test_a_box_is_left_top_width_height():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    assert bounding_box(mask) == [3, 2, 4, 2]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", MASKS)
def test_run_lengths_decode_to_the_mask(name: str):
    coco_mask = pytest.importorskip("pycocotools.mask")
    mask = MASKS[name]
    height, width = mask.shape
    encoded = {"size": [height, width], "counts": run_lengths(mask)}
    compressed = coco_mask.frPyObjects(encoded, height, width)
    np.testing.assert_array_equal(coco_mask.decode(compressed), mask)
    assert coco_mask.area(compressed) == mask.sum()
    if mask.any():
        np.testing.assert_array_equal(coco_mask.toBbox(compressed), bounding_box(mask))


def test_photographs_without_the_object_have_no_annotation():
    masks = [MASKS["empty"], MASKS["mixed"]]
    found = [segmented(mask, f"{mask.shape}.jpg", 0.25) for mask in masks]
    written = json.loads(json.dumps(data_set(found, {"version": "1"})))
    assert [image["id"] for image in written["images"]] == [1, 2]
    assert (
        written["images"][0] | {"width": 4, "height": 3, "presence": 0.25} == written["images"][0]
    )
    (annotation,) = written["annotations"]
    assert (annotation["image_id"], annotation["score"]) == (2, 0.25)
    assert annotation["area"] == int(MASKS["mixed"].sum())
    assert annotation["category_id"] == written["categories"][0]["id"]
