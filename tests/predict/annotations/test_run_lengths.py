"""COCO's run lengths, by hand, by pycocotools, and back."""

import numpy as np
import pytest
from found_images import drawn_masks

from cosseg_jax.predict.annotations.run_lengths import (
    bounding_box,
    compressed,
    counts_to_mask,
    mask_to_counts,
    uncompressed,
)

LARGE = {"large": np.hypot(*np.mgrid[-150:150, -90:90]) < 80}
MASKS = drawn_masks() | LARGE


def test_counts_go_down_the_columns_and_begin_outside_the_mask():
    mask = np.array([[0, 0, 1], [0, 1, 1]], bool)
    assert mask_to_counts(mask) == [3, 3]
    assert mask_to_counts(~mask) == [0, 3, 3]


def test_a_bounding_box_is_left_top_width_height():
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    assert bounding_box(mask) == [3, 2, 4, 2]


@pytest.mark.parametrize("name", MASKS)
def test_run_lengths_give_the_mask_again(name: str):
    counts = uncompressed(compressed(mask_to_counts(MASKS[name])))
    assert counts == mask_to_counts(MASKS[name])
    np.testing.assert_array_equal(counts_to_mask(counts, *MASKS[name].shape), MASKS[name])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", MASKS)
def test_pycocotools_decodes_the_counts_to_the_mask(name: str):
    coco_mask = pytest.importorskip("pycocotools.mask")
    mask = MASKS[name]
    height, width = mask.shape
    encoded = {"size": [height, width], "counts": mask_to_counts(mask)}
    theirs = coco_mask.frPyObjects(encoded, height, width)
    assert compressed(encoded["counts"]) == theirs["counts"].decode()
    np.testing.assert_array_equal(coco_mask.decode(theirs), mask)
    assert coco_mask.area(theirs) == mask.sum()
    if mask.any():
        np.testing.assert_array_equal(coco_mask.toBbox(theirs), bounding_box(mask))
