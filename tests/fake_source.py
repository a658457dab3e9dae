"""A made-up data set and predictors for it, for the tests of evaluation."""

import threading
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cosseg_jax.data.source import members_of
from cosseg_jax.evaluation.segmenter import FunctionSegmenter
from cosseg_jax.types import Example

SIDE = 8  # of the network's input


class FakeSource:
    """Images of two sizes whose red channel is 200 on the object.

    categories_of: the categories of each image.
    decoded: the indices of the images that were read, in order.
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
    """The true probability maps [B, N, S, S] of images [B, N, S, S, 3]."""
    assert images.dtype == np.uint8
    assert images.shape[2:] == (SIDE, SIDE, 3)
    return (jnp.asarray(images[..., 0]) > 100).astype(jnp.float32)


def segmenter(predict: Callable) -> FunctionSegmenter:
    """A function such as `perfect` as a segmenter of groups, whose spatial prior is one zero."""

    def segment(inputs):
        maps = np.asarray(predict(jax.tree.map(lambda array: array[None], inputs)), np.float32)[0]
        return maps, np.zeros((len(maps), 1, 1), np.float32)

    return FunctionSegmenter(segment, SIDE)


class Shuffled:
    """The images and categories of another source in another order."""

    def __init__(self, source: FakeSource, seed: int):
        rng = np.random.default_rng(seed)
        self._source = source
        self._images = rng.permutation(len(source)).tolist()
        self._order_of_categories = rng.permutation(len(source.categories)).tolist()
        self.name = source.name
        self.categories = tuple(source.categories[old] for old in self._order_of_categories)
        self.names = [source.names[old] for old in self._images]
        self.members = [
            np.array(sorted(self._images.index(old) for old in source.members[category]), np.int64)
            for category in self._order_of_categories
        ]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Example:
        example = self._source[self._images[index]]
        categories = [self._order_of_categories.index(old) for old in example.categories]
        order = np.argsort(categories)
        return example._replace(
            categories=np.array(categories, np.int64)[order], masks=example.masks[order]
        )
