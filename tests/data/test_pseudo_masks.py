"""Masks of single objects by a salient-object network."""

import numpy as np
import pytest

from cosseg_jax.data.pseudo_masks import SaliencyNetwork, object_and_void, pseudo_mask
from cosseg_jax.errors import MissingFileError

IMAGE = np.zeros((40, 60, 3), np.uint8)


class FakeNetwork:
    """Returns the same map for every image."""

    image_size = 20

    def __init__(self, found: np.ndarray):
        self._found = found

    def __call__(self, image: np.ndarray) -> np.ndarray:
        assert image.shape == (20, 20, 3)
        return self._found


def square(inside: float, outside: float, side: int = 10) -> np.ndarray:
    found = np.full((20, 20), outside, np.float32)
    found[:side, :side] = inside
    return found


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (square(1, 0), True),
        (square(0.8, 0.3), False),  # not confident
        (square(1, 0, side=3), False),  # tiny
        (square(1, 0, side=19), False),  # fills the image
    ],
)
def test_images_with_one_clear_object_are_kept(found, kept):
    assert (pseudo_mask(FakeNetwork(found), IMAGE) is not None) == kept


def test_pixels_in_doubt_are_void():
    covered, void = object_and_void(np.asarray([[0.1, 0.4, 0.6, 0.9]]))
    assert covered.tolist() == [[False, False, True, True]]
    assert void.tolist() == [[False, True, True, False]]


def test_a_missing_network_is_named():
    pytest.importorskip("onnxruntime")
    with pytest.raises(MissingFileError, match=r"none\.onnx"):
        SaliencyNetwork("none.onnx")
