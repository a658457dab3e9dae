"""What can be evaluated: a network, or a function that needs none."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.types import GroupPrediction


@runtime_checkable
class Segmenter(Protocol):
    """What is evaluated: `predict.chunked.ChunkedNetwork`, or anything that is called like it."""

    image_size: int

    def segment(
        self, group: Sequence[EncodedImage], *, wanted: Sequence[int] | None = None
    ) -> GroupPrediction: ...


class FunctionSegmenter:
    """A function, such as a baseline without a network, as something to evaluate.

    Args:
        predict: from the stacked inputs [N, ...] of a group to probabilities [N, S, S], 0..1, and
            a spatial prior [N, h, w].
        image_size: S, the side to which images are resized.
    """

    def __init__(self, predict: Callable[[Any], tuple[Any, Any]], image_size: int):
        self.image_size = image_size
        self._predict = predict

    def segment(
        self, group: Sequence[EncodedImage], *, wanted: Sequence[int] | None = None
    ) -> GroupPrediction:
        """Predicts a group; every image counts as one in which the object is present."""
        loaded = [image.load() for image in group]
        maps, prior = self._predict(jax.tree.map(lambda *leaves: np.stack(leaves), *loaded))
        rows = list(range(len(group))) if wanted is None else list(wanted)
        return GroupPrediction(
            np.asarray(maps)[rows],
            np.asarray(prior)[rows],
            np.ones(len(rows), np.float32),
            np.zeros(0, np.float32),
        )
