"""Images with drawn masks, as the writers of annotations take them."""

from collections.abc import Iterator

import numpy as np

from cosseg_jax.predict.annotations.images import AnnotatedImage, found_class

CLASSES = ("cat", "hot dog")


def drawn_masks() -> dict[str, np.ndarray]:
    """Masks with holes, several parts, single pixels, corners that touch, and full rows."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:60, :80]
    ring = np.hypot(rows - 20, columns - 20)
    holes = (ring < 18) & (ring > 6)
    holes[40:56, 40:76] = True
    holes[44:47, 44:50] = holes[50:53, 60:70] = holes[45, 70] = False
    corners = np.zeros((12, 9), bool)
    corners[2:5, 2:5] = corners[5:8, 5:8] = corners[11, 8] = True
    return {
        "holes": holes,
        "corners": corners,
        "noise": rng.random((25, 31)) > 0.5,
        "line": np.eye(9, 14, dtype=bool),
        "pixel": np.pad(np.ones((1, 1), bool), 3),
        "full": np.ones((5, 7), bool),
        "empty": np.zeros((6, 4), bool),
    }


def two_classes() -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one image that do not overlap."""
    first = drawn_masks()["holes"]
    second = np.zeros_like(first)
    second[2:30, 50:70] = True
    return first, second


def images() -> Iterator[AnnotatedImage]:
    """One image with both classes, and one with neither."""
    found = {
        name: found_class(mask, 0.9, 0.8) for name, mask in zip(CLASSES, two_classes(), strict=True)
    }
    yield AnnotatedImage("a", "photos/a.png", *two_classes()[0].shape, found)
    empty = {name: found_class(np.zeros((20, 30), bool), 0.25, 0.0) for name in CLASSES}
    yield AnnotatedImage("b", "photos/b.png", 20, 30, empty)
