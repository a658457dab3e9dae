"""Pictures made of several labelled images: small objects, and several categories side by side.

Photographs of one large object each teach a network to mark whatever is salient. In a mosaic of
four images, or in a photograph with objects pasted into it, only the group tells which object is
meant.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from cosseg_jax.data.augment import View, cut_object, paste
from cosseg_jax.data.resizing import resized
from cosseg_jax.types import Ndarray

NEAREST = Image.Resampling.NEAREST
VOID = -1
SPLIT = (0.35, 0.65)  # where a mosaic's middle lies, as a share of its side


class LabelledPicture(NamedTuple):
    """An image with a label for every pixel: a category's number from 1, 0 for none, or VOID."""

    image: UInt8[Ndarray, "H W 3"]
    labels: Int[Ndarray, "H W"]

    def resized(self, height: int, width: int) -> "LabelledPicture":
        """The same at another size."""
        labels = Image.fromarray(self.labels.astype(np.int32)).resize((width, height), NEAREST)
        return LabelledPicture(resized(self.image, (height, width)), np.array(labels, np.int16))

    @property
    def flipped(self) -> "LabelledPicture":
        """The same, mirrored left to right."""
        return LabelledPicture(self.image[:, ::-1], self.labels[:, ::-1])


def mosaic(
    parts: Sequence[LabelledPicture], size: int, rng: np.random.Generator
) -> LabelledPicture:
    """Four pictures side by side and below one another, in parts of random sizes."""
    image, labels = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.int16)
    down, across = (round(size * rng.uniform(*SPLIT)) for _ in range(2))
    rows, columns = (slice(0, down), slice(down, size)), (slice(0, across), slice(across, size))
    places = [(row, column) for row in rows for column in columns]
    for part, (row, column) in zip(parts, places, strict=True):
        part = part.flipped if rng.random() < 0.5 else part
        part = part.resized(row.stop - row.start, column.stop - column.start)
        image[row, column], labels[row, column] = part
    return LabelledPicture(image, labels)


def pasted(
    background: LabelledPicture,
    objects: Sequence[LabelledPicture],
    size: int,
    rng: np.random.Generator,
) -> LabelledPicture:
    """A picture with the objects of others pasted into it at random places and sizes."""
    image, labels = background.resized(size, size)
    view = View(image, labels > 0, labels == VOID, np.maximum(labels, 0).astype(np.uint16))
    for each in objects:
        label = int(each.labels.max())
        cutout = cut_object(each.image, each.labels == label, label - 1) if label > 0 else None
        view = view if cutout is None else paste(view, cutout, rng, shared=True)
    assert view.category_map is not None
    return LabelledPicture(
        view.image, np.where(view.void, VOID, view.category_map.astype(np.int16))
    )
