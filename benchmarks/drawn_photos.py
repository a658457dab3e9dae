"""Photos drawn on the spot: smooth colours with a disc on them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from cosseg_jax.types import Ndarray

PATCHES = 100  # pixels from one colour to the next


def drawn_photo(
    rng: np.random.Generator, height: int, width: int, colour: Sequence[int]
) -> tuple[UInt8[Ndarray, "H W 3"], Bool[Ndarray, "H W"]]:
    """An image with a disc of a colour (red, green, blue), and where the disc is."""
    small = rng.integers(0, 256, (height // PATCHES + 2, width // PATCHES + 2, 3), np.uint8)
    image = np.array(Image.fromarray(small).resize((width, height)))
    radius = int(rng.integers(height // 8, height // 4))
    row, column = rng.integers(radius, height - radius), rng.integers(radius, width - radius)
    rows, columns = np.mgrid[:height, :width]
    disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    image[disc] = colour
    return image, disc
