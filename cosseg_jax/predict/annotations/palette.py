"""Label maps as palette images in VOC's colours."""

import io
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cosseg_jax.types import Ndarray


def palette_png(labels: UInt8[Ndarray, "H W"]) -> bytes:
    """A label map as a palette PNG in VOC's colours, whose pixels are the labels."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def class_colours() -> Iterator[str]:
    """The colours of classes, from the first one, as #rrggbb; they begin again after the last."""
    while True:
        for red, green, blue in voc_palette()[1:-1].tolist():
            yield f"#{red:02x}{green:02x}{blue:02x}"


def voc_palette() -> UInt8[Ndarray, "256 3"]:
    """VOC's colours: bit 3k + c of a label is bit 7 - k of channel c."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for k in range(3):
        for channel in range(3):
            palette[:, channel] |= ((labels >> (3 * k + channel) & 1) << (7 - k)).astype(np.uint8)
    return palette
