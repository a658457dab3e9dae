"""Files of `cosseg segment`: names, pictures, and COCO's format by hand and by pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest

from cosseg_jax.cli import outputs
from cosseg_jax.cli.outputs import bounding_box, coco_data, coco_image, mask_to_counts
from cosseg_jax.drawing import tinted

MASKS = {
    "mixed": np.random.default_rng(0).random((7, 5)) > 0.6,
    "empty": np.zeros((3, 4), bool),
    "full": np.ones((3, 4), bool),
    "one pixel": np.ones((1, 1), bool),
    "corner": np.eye(4, dtype=bool)[:2],
    "large": np.hypot(*np.mgrid[-150:150, -90:90]) < 80,
}


def test_files_are_named_after_their_photos():
    photos = [Path("a.jpg"), Path("a.png"), Path("x/con.jpg")]
    to = outputs.destination_of(Path("out"), photos, ("overlays", "masks", "json"))
    assert [path.as_posix() for path in to.files] == [
        *("out/masks/a.png", "out/overlays/a.jpg"),
        *("out/masks/a_2.png", "out/overlays/a_2.jpg"),
        *("out/masks/_con.png", "out/overlays/_con.jpg"),
        "out/segmentation.json",
    ]


def test_relative_names_begin_below_the_common_folder(tmp_path: Path):
    paths = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "c" / "2.jpg"]
    assert outputs.relative_names(paths) == ["a/1.jpg", "b/c/2.jpg"]
    assert outputs.relative_names(paths[:1]) == ["1.jpg"]


def test_large_overlays_are_drawn_in_strips_without_seams():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2 * outputs.OVERLAY_ROWS + 3, 2, 3), dtype=np.uint8)
    mask = rng.random(image.shape[:2]) > 0.5
    np.testing.assert_array_equal(outputs.overlay(image, mask), tinted(image, mask))


def test_counts_go_down_the_columns_and_begin_outside_the_mask():
    mask = np.array([[0, 0, 1], [0, 1, 1]], bool)
    assert mask_to_counts(mask) == [3, 3]
    assert mask_to_counts(~mask) == [0, 3, 3]


def test_a_bounding_box_is_left_top_width_height():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    assert bounding_box(mask) == [3, 2, 4, 2]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", MASKS)
def test_pycocotools_decodes_the_counts_to_the_mask(name: str):
    coco_mask = pytest.importorskip("pycocotools.mask")
    mask = MASKS[name]
    height, width = mask.shape
    encoded = {"size": [height, width], "counts": mask_to_counts(mask)}
    compressed = coco_mask.frPyObjects(encoded, height, width)
    assert outputs.compressed(encoded["counts"]) == compressed["counts"].decode()
    np.testing.assert_array_equal(coco_mask.decode(compressed), mask)
    assert coco_mask.area(compressed) == mask.sum()
    if mask.any():
        np.testing.assert_array_equal(coco_mask.toBbox(compressed), bounding_box(mask))


def test_instances_are_the_connected_parts_the_largest_first():
    mask = np.zeros((100, 100), bool)
    mask[10:20, 10:20] = mask[50:80, 50:80] = True
    mask[20, 20] = True  # touches the first part at a corner
    mask[90, 5] = True  # a speck
    image = coco_image(mask, "a.jpg", 0.75, instances=True)
    assert [each["bbox"] for each in image.annotations] == [[50, 50, 30, 30], [10, 10, 11, 11]]
    assert [each["area"] for each in image.annotations] == [900, 101]
    written = coco_data([image, image], {}, "cats")["annotations"]
    assert [(each["id"], each["image_id"]) for each in written] == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert len(coco_image(mask, "a.jpg", 0.75).annotations) == 1


def test_a_mask_of_one_small_part_is_an_instance():
    mask = np.zeros((100, 100), bool)
    mask[3, 4] = True
    (annotation,) = coco_image(mask, "a.jpg", 0.75, instances=True).annotations
    assert annotation["bbox"] == [4, 3, 1, 1]


def test_images_without_the_object_have_no_annotation():
    masks = [MASKS["empty"], MASKS["mixed"]]
    images = [coco_image(mask, f"{mask.shape}.jpg", 0.25) for mask in masks]
    written = json.loads(json.dumps(coco_data(images, {"version": "1"}, "cats")))
    assert [image["id"] for image in written["images"]] == [1, 2]
    assert written["images"][0] == {
        "id": 1,
        "file_name": "(3, 4).jpg",
        "width": 4,
        "height": 3,
        "presence": 0.25,
    }
    (annotation,) = written["annotations"]
    assert (annotation["image_id"], annotation["score"]) == (2, 0.25)
    assert annotation["area"] == int(MASKS["mixed"].sum())
    assert written["categories"] == [{"id": 1, "name": "cats"}]
    assert annotation["category_id"] == 1
