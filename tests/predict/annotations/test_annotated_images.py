"""What was found in an image: instances, label maps, and the way through a record."""

import json

import numpy as np
from found_images import CLASSES, images, two_classes

from cosseg_jax.predict.annotations.images import AnnotatedImage, found_class, label_map, numbers_of


def test_instances_are_the_connected_parts_the_largest_first():
    mask = np.zeros((100, 100), bool)
    mask[10:20, 10:20] = mask[50:80, 50:80] = True
    mask[20, 20] = True  # touches the first part at a corner
    mask[90, 5] = True  # a speck
    found = found_class(mask, 0.75, 0.5, instances=True)
    assert [each["bbox"] for each in found.annotations] == [[50, 50, 30, 30], [10, 10, 11, 11]]
    assert [each["area"] for each in found.annotations] == [900, 101]
    assert len(found_class(mask, 0.75, 0.5).annotations) == 1


def test_a_mask_of_one_small_part_is_an_instance():
    mask = np.zeros((100, 100), bool)
    mask[3, 4] = True
    (annotation,) = found_class(mask, 0.75, 0.5, instances=True).annotations
    assert annotation["bbox"] == [4, 3, 1, 1]
    assert annotation["score"] == 0.5


def test_an_empty_mask_has_no_annotation():
    assert found_class(np.zeros((3, 4), bool), 0.25, 0.0).annotations == []


def test_label_maps_have_the_numbers_of_the_classes():
    first, second = two_classes()
    expected = np.where(first, 1, np.where(second, 2, 0))
    np.testing.assert_array_equal(label_map(next(images()), numbers_of(CLASSES)), expected)


def test_an_image_comes_back_from_its_line():
    for image in images():
        assert AnnotatedImage.from_json(json.loads(json.dumps(image.as_json()))) == image
