"""Weights, pixels and prompts for the goldens of SAM; needs numpy only, as `weights.py` does."""

import zlib

import numpy as np
from goldens.weights import make

SIDE = 128  # pixels of the images, 8 cells of the embedding
OBLONG = (96, 112)  # for the encoder alone
CHANNELS = slice(None, None, 16)  # of embeddings, kept


def make_sam(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of a state dict; matrices scaled by their inputs, learnt vectors of unit size."""
    if len(shape) != 2 or name.endswith("attention_biases"):
        return make(name, shape)
    learnt = "embed" in name or "token.weight" in name or "tokens" in name or "gaussian" in name
    scale = 1.0 if learnt else shape[1] ** -0.5
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return (scale * random.standard_normal(shape)).astype(np.float32)


def pixels(height: int, width: int) -> np.ndarray:
    """A normalised image with large and small structures, H x W x 3."""
    random = np.random.default_rng(height * width)
    coarse = random.standard_normal((-(-height // 16), -(-width // 16), 3))
    smooth = np.kron(coarse, np.ones((16, 16, 1)))[:height, :width]
    return (smooth + 0.3 * random.standard_normal((height, width, 3))).astype(np.float32)


def mask(seed: int) -> np.ndarray:
    """Logits at stride 4: a disc."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[: SIDE // 4, : SIDE // 4]
    centre = random.uniform(8, 24, 2)
    return (10 - np.hypot(row - centre[0], column - centre[1])).astype(np.float32)


# Each prompt: positive points, negative points, box or None, seed of its mask or None.
PROMPTS = (
    ([(40.0, 60.0)], [], None, None),
    ([(40.0, 60.0), (90.5, 20.0)], [(5.0, 120.0)], None, None),
    ([], [], (20.0, 30.0, 100.0, 110.0), None),
    ([(50.0, 50.0)], [(110.0, 10.0)], (20.0, 30.0, 100.0, 110.0), 1),
    ([(40.0, 60.0)], [], None, 2),
)
