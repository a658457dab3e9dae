"""Polygons give the mask again, as the tools fill them."""

import numpy as np
import pytest
from found_images import drawn_masks
from PIL import Image, ImageDraw
from scipy.ndimage import label

from cosseg_jax.predict.annotations.polygons import edge_polygons, pixel_polygons

MASKS = drawn_masks()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", MASKS)
def test_pycocotools_fills_edge_polygons_to_the_mask(name: str):
    coco_mask = pytest.importorskip("pycocotools.mask")
    mask = MASKS[name]
    polygons = [each.ravel().tolist() for each in edge_polygons(mask)]
    assert bool(polygons) == mask.any()
    if polygons:
        filled = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape)))
        np.testing.assert_array_equal(filled, mask)


@pytest.mark.parametrize("name", MASKS)
def test_opencv_fills_pixel_polygons_to_the_mask(name: str):
    cv2 = pytest.importorskip("cv2")
    filled = np.zeros(MASKS[name].shape, np.uint8)
    for polygon in pixel_polygons(MASKS[name]):
        cv2.fillPoly(filled, [polygon.astype(np.int32)], 1)
    np.testing.assert_array_equal(filled, MASKS[name])


@pytest.mark.parametrize("name", MASKS)
def test_a_part_is_one_polygon_of_pixels_of_the_mask(name: str):
    polygons = pixel_polygons(MASKS[name])
    assert len(polygons) == label(MASKS[name], np.ones((3, 3)))[1]
    for columns, rows in (polygon.T for polygon in polygons):
        assert MASKS[name][rows, columns].all()


def test_holes_stay_open():
    image = Image.new("1", (80, 60))
    for polygon in pixel_polygons(MASKS["holes"]):
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in polygon.tolist()], fill=1)
    filled = np.asarray(image)
    assert not filled[20, 20]
    assert not filled[51, 65]
    assert np.mean(filled != MASKS["holes"]) < 0.02
