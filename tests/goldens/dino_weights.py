"""Weights for the goldens of DINO, generated from names; needs numpy only, as `weights.py` does."""

import zlib

import numpy as np

if __package__:
    from goldens.weights import make
else:
    from weights import make

WIDTH, HEADS, BLOCKS = 32, 2, 4
SHOWN = slice(None, None, 4)  # of the channels, kept


def make_dino(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of a state dict: matrices scaled by their inputs, tokens of unit size."""
    if name.endswith(("lambda1", "gamma", "gamma_1", "gamma_2")):
        return 0.3 * make(f"{name}.weight", shape)
    if len(shape) not in (2, 3):
        return make(name, shape)
    scale = 1.0 if len(shape) == 3 or "mask_token" in name else shape[1] ** -0.5
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return (scale * random.standard_normal(shape)).astype(np.float32)
