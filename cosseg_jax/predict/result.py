"""What a predictor returns: a result for the group, and one for each image."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.images import Reopenable
from cosseg_jax.data.prompts import Prompt, marked
from cosseg_jax.data.resizing import resized
from cosseg_jax.predict.binary_masks import THRESHOLD, binary_mask
from cosseg_jax.predict.prompting import with_marks
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
    prompts: those in this image.
    """

    name: str
    height: int
    width: int
    probability_map: Float[Ndarray, "S S"]
    prior: Float[Ndarray, "h w"]
    presence: float
    refine: Refine | None
    source: Reopenable
    prompts: tuple[Prompt, ...] = ()

    @property
    def image(self) -> UInt8[Ndarray, "H W 3"]:
        """The image, upright RGB, read again; raises UserError if its source is gone."""
        return self.source.read()

    @property
    def probability(self) -> Float[Ndarray, "H W"]:
        """The probability of the shared object at the image's own size, computed when asked.

        It is 1 where a prompt shows the object and 0 where one excludes it.
        """
        if not self.prompts:
            return self._unmarked()
        found = marked(self.prompts, self.height, self.width)
        return with_marks(self._unmarked(), found)

    def _unmarked(self) -> Float[Ndarray, "H W"]:
        """The probability before the prompts' marks are put in."""
        if self.refine is None:
            return resized(self.probability_map, (self.height, self.width))
        prompted = getattr(self.refine, "prompted", None)
        if prompted is not None and any(prompt.shows_object for prompt in self.prompts):
            return prompted(self.prompts, self.probability_map, self.image)
        return self.refine(self.probability_map, self.image)

    @property
    def score(self) -> float:
        """The mean probability in the mask at the network's size, 0..1; 0 where it is empty."""
        inside = self.probability_map > THRESHOLD
        if self.presence <= THRESHOLD or not inside.any():
            return 0.0
        return float(self.probability_map[inside].mean())

    @property
    def mask(self) -> Bool[Ndarray, "H W"]:
        """Where the probability exceeds one half; empty where the object is not present."""
        return self.mask_at(THRESHOLD)

    def mask_at(self, threshold: float) -> Bool[Ndarray, "H W"]:
        """Where the probability exceeds a threshold; empty where `presence` does not."""
        if self.presence <= threshold:
            return np.zeros((self.height, self.width), bool)
        return binary_mask(self.probability, self.presence, threshold)


class ConceptResult(NamedTuple):
    """What a concept found in one image.

    name: the image's.
    classes: the result for each class of the concept, by its name.
    """

    name: str
    classes: dict[str, ImageResult]

    @property
    def labels(self) -> UInt8[Ndarray, "H W"]:
        """`labels_at` a probability of one half."""
        return self.labels_at(THRESHOLD)

    def labels_at(self, threshold: float) -> UInt8[Ndarray, "H W"]:
        """Each pixel's likeliest class, counted from 1; 0 where none exceeds the threshold."""
        found = list(self.classes.values())
        labels = np.zeros((found[0].height, found[0].width), np.uint8)
        best: Any = np.float32(threshold)
        for number, image in enumerate(found, start=1):
            if image.presence > threshold:
                probability = image.probability
                labels[probability > best] = number
                if number < len(found):
                    best = np.maximum(best, probability)
        return labels


LIKELY = 0.5  # probability above which a category is worth naming
DOUBTFUL = 0.5  # confidence below which people are told to check the masks


def likely(categories: Mapping[str, float]) -> list[tuple[str, float]]:
    """The categories that are worth naming with their probabilities, the likeliest first."""
    found = [(name, share) for name, share in categories.items() if share > LIKELY]
    return sorted(found, key=lambda pair: -pair[1])


def is_doubtful(confidence: float | None) -> bool:
    """Whether people are told to check the masks of a group."""
    return confidence is not None and confidence < DOUBTFUL


def rounded(confidence: float | None) -> float | None:
    """A group's confidence to four digits, if there is one."""
    return None if confidence is None else round(confidence, 4)


class GroupResult(NamedTuple):
    """The result for a group of images.

    images: in the order in which they were given.
    categories: for each category that the network was trained on, the probability that the group
        shares it, 0..1; all are 0 where the group does not look like any of them.
    confidence: how probably the masks, on the average, overlap with the object by more than half,
        0..1. It is low where the group does not look like any category of the training, and knows
        nothing of prompts. None for networks that cannot say.
    """

    images: tuple[ImageResult, ...]
    categories: dict[str, float]
    confidence: float | None = None
