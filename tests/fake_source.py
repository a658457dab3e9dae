"""A made-up data set, and the network that solves it."""

import threading
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from cosseg_jax.data.source import members_of
from cosseg_jax.types import Example, GroupMasks

SIDE = 8  # of the network's input


class FakeSource:
    """Photographs whose red channel is 200 on the object; own sizes differ.

    categories_of: for each photograph, what it contains.
    """

    name = "fake"

    def __init__(self, categories_of: list[tuple[int, ...]], categories: int = 3):
        self.categories = tuple("abcdef"[:categories])
        self._of = categories_of
        self.members = members_of(categories_of, categories)
        self.names = [f"photo{index:03d}" for index in range(len(categories_of))]
        self.decoded: list[int] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, index: int) -> Example:
        with self._lock:
            self.decoded.append(index)
        height, width = 8 * (1 + index % 2), 16
        mask = np.zeros((height, width), bool)
        mask[:, : width // 2] = True
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = 200 * mask
        image[..., 1] = index
        return Example(
            image=image,
            masks=np.repeat(mask[None], len(self._of[index]), axis=0),
            void=np.zeros_like(mask),
            categories=np.array(self._of[index], np.int64),
            name=self.names[index],
        )


def perfect(images):
    assert images.dtype == np.uint8
    assert images.shape[2:] == (SIDE, SIDE, 3)
    return (jnp.asarray(images[..., 0]) > 100).astype(jnp.float32)


def without_prior(predict: Callable) -> Callable:
    """A predictor of masks whose spatial prior says nothing: one cell, zero."""

    def masks_of(inputs) -> GroupMasks:
        probabilities = np.asarray(predict(inputs))
        return GroupMasks(probabilities, np.zeros((*probabilities.shape[:2], 1, 1), np.float32))

    return masks_of


class Shuffled:
    """The same photographs and classes as another source's, listed in another order."""

    def __init__(self, source: FakeSource, seed: int):
        rng = np.random.default_rng(seed)
        self._source = source
        self._photos = rng.permutation(len(source)).tolist()
        self._classes = rng.permutation(len(source.categories)).tolist()
        self.name = source.name
        self.categories = tuple(source.categories[old] for old in self._classes)
        self.names = [source.names[old] for old in self._photos]
        self.members = [
            np.array(sorted(self._photos.index(old) for old in source.members[category]), np.int64)
            for category in self._classes
        ]

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Example:
        example = self._source[self._photos[index]]
        categories = [self._classes.index(old) for old in example.categories]
        order = np.argsort(categories)
        return example._replace(
            categories=np.array(categories, np.int64)[order], masks=example.masks[order]
        )
