"""Weights of the authors' released network, generated from names, and the images of its golden."""

import numpy as np

if __package__:
    from goldens.weights import make
else:
    from weights import make

COPIES = ("concat3.", "concat2.")  # other names of concat4's weights
SCALES = {  # keep probabilities away from 0 and 1
    "sp1.0.weight": 0.06,
    "sp2.0.weight": 0.3,
    "cls_m.0.weight": 0.01,
    "cls.0.weight": 1e-5,
    "concat4.0.weight": 0.3,
    "concat4.2.weight": 0.3,
    "concat4.4.weight": 0.3,
    "mask.1.weight": 0.001,
}
GRID = slice(3, None, 17)  # rows and columns of the masks that the golden keeps


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of that name in the state dict; copies are equal."""
    for copy in COPIES:
        name = name.replace(copy, "concat4.")
    drawn = make(name, shape)
    return drawn * np.float32(SCALES[name]) if name in SCALES else drawn


def group() -> np.ndarray:
    """A group of five images of coarse squares, uint8 [5, 224, 224, 3]."""
    rng = np.random.default_rng(5)
    squares = rng.integers(0, 256, (5, 14, 14, 3)).repeat(16, axis=1).repeat(16, axis=2)
    return (0.7 * squares + 0.3 * rng.integers(0, 256, squares.shape)).astype(np.uint8)
