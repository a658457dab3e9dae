"""What a predictor returns: a result for the group, and one for each image."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.images import Reopenable
from cosseg_jax.drawing import resized
from cosseg_jax.predict.chunked import THRESHOLD, binary_mask
from cosseg_jax.predict.refinement import Refine
from cosseg_jax.types import Ndarray


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """The result for one image of a group.

    name: the file's name without suffix, or the image's number in the group.
    height, width: of the upright image, in pixels.
    probability_map: of the shared object, 0..1, at the network's size.
    prior: S, the spatial prior; positive where the spatial modulator expects the object.
    presence: the probability that the object is in the image at all, 0..1.
    refine: from the map and the image to the probability at the image's own size, or None.
    source: what the image can be read from again.
    """

    name: str
    height: int
    width: int
    probability_map: Float[Ndarray, "S S"]
    prior: Float[Ndarray, "h w"]
    presence: float
    refine: Refine | None
    source: Reopenable

    @property
    def image(self) -> UInt8[Ndarray, "H W 3"]:
        """The image, upright RGB, read again; raises UserError if its source is gone."""
        return self.source.read()

    @property
    def probability(self) -> Float[Ndarray, "H W"]:
        """The probability of the shared object at the image's own size, computed when asked."""
        if self.refine is not None:
            return self.refine(self.probability_map, self.image)
        return resized(self.probability_map, (self.height, self.width))

    @property
    def mask(self) -> Bool[Ndarray, "H W"]:
        """Where the probability exceeds one half; empty where the object is not present."""
        return self.mask_at(THRESHOLD)

    def mask_at(self, threshold: float) -> Bool[Ndarray, "H W"]:
        """Where the probability exceeds a threshold; empty where `presence` does not."""
        if self.presence <= threshold:
            return np.zeros((self.height, self.width), bool)
        return binary_mask(self.probability, self.presence, threshold)


class GroupResult(NamedTuple):
    """The result for a group of images.

    images: in the order in which they were given.
    categories: for each category that the network was trained on, the probability that the group
        shares it, 0..1. Masks do not depend on it: other objects are found as well.
    """

    images: tuple[ImageResult, ...]
    categories: dict[str, float]
