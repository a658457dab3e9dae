"""COCO's JSON, field by field, and by pycocotools."""

import json

import numpy as np
import pytest
from found_images import CLASSES, images, two_classes

from cosseg_jax.predict.annotations.coco import write_coco


def test_fields_are_those_of_the_images(tmp_path):
    write_coco(tmp_path / "x.json", images, CLASSES, {"threshold": 0.5})
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["info"]["threshold"] == 0.5
    assert found["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "hot dog"}]
    assert found["images"][1] == {
        "id": 2,
        "file_name": "photos/b.png",
        "width": 30,
        "height": 20,
        "presence": {"cat": 0.25, "hot dog": 0.25},
    }
    places = [(each["id"], each["image_id"], each["category_id"]) for each in found["annotations"]]
    assert places == [(1, 1, 1), (2, 1, 2)]
    assert found["annotations"][1]["bbox"] == [50, 2, 20, 28]
    assert found["annotations"][1]["area"] == 560


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_reads_the_masks(tmp_path, capsys, polygons):
    coco_api = pytest.importorskip("pycocotools.coco")
    write_coco(tmp_path / "x.json", images, CLASSES, polygons=polygons)
    coco = coco_api.COCO(tmp_path / "x.json")
    for number, mask in enumerate(two_classes(), start=1):
        (annotation,) = coco.loadAnns(coco.getAnnIds(imgIds=[1], catIds=[number]))
        assert isinstance(annotation["segmentation"], list if polygons else dict)
        np.testing.assert_array_equal(coco.annToMask(annotation), mask)
    assert coco.getAnnIds(imgIds=[2]) == []
