"""How prompts change the prediction of a group.

gamma        In the first iteration it is pooled over the marked regions of the prompted images
             alone; in a mean over all N images one prompt would have 1/N of the say. Later
             iterations pool all images under their masks again. An image without the object has no
             part in it.
S            It is drawn towards the descriptors of the marked regions and away from the excluded
             ones (`models.spatial.prompted_prior`).
excluded     Where cells resemble an excluded region more than the object, their pooling weights and
             the probability are lowered, in every image.
the marks    In the prompted images themselves the marked pixels are in the mask, the excluded ones
             are not.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import label
from scipy.special import expit

from cosseg_jax.data.prompts import Marked, coverage
from cosseg_jax.data.resizing import resized
from cosseg_jax.models.spatial import SMALL
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.encodings import Encodings, stacked_maps
from cosseg_jax.types import Ndarray

EXCLUSION_SHARPNESS = 16.0  # of the step from the object to what was excluded, per unit of cosine
EXCLUSION_MARGIN = (
    0.15  # of the cosine with what was excluded, where nothing was shown to compare it with
)


class PromptedImage(NamedTuple):
    """The position of an image in its group, and what prompts mark in it."""

    image: int
    marked: Marked

    @property
    def flipped(self) -> "PromptedImage":
        """The same of the image mirrored left to right."""
        return self._replace(marked=Marked(*(pixels[:, ::-1] for pixels in self.marked)))

    @property
    def is_absent(self) -> bool:
        """Whether the object is nowhere in the image."""
        return bool(self.marked.excluded.all())


class Exclusion(NamedTuple):
    """Tells cells that resemble what was excluded from those that resemble the object.

    The prototypes are mean descriptors, less the group's mean, of length 1; both are None where
    nothing was excluded.

    centre: the mean of all cells of the group.
    difference: the prototype of what was shown, zero if nothing was, less that of the excluded.
    margin: by which a cell must resemble the excluded more.
    """

    centre: Float[Ndarray, " C"] | None = None
    difference: Float[Ndarray, " C"] | None = None
    margin: float = 0.0

    def resemblance(self, encodings: Encodings) -> Float[Ndarray, "M h w"]:
        """How much more each cell resembles what was shown than what was excluded."""
        assert self.centre is not None
        assert self.difference is not None
        x = unit_length(_descriptors(encodings) - self.centre)
        return x @ self.difference + self.margin  # [M, h, w]

    def narrowed(
        self, weights: Float[Ndarray, "M h w"] | None, encodings: Encodings
    ) -> Float[Ndarray, "M h w"] | None:
        """Pooling weights, with sum 1, that leave out cells like what was excluded."""
        if self.centre is None:
            return weights
        kept = _kept_share(self.resemblance(encodings)) + SMALL
        kept = kept if weights is None else kept * weights
        return kept / kept.sum(axis=(1, 2), keepdims=True)

    def lowered(self, maps: Any, encodings: Encodings) -> Any:
        """Probability maps [M, S, S], lowered where cells are like what was excluded."""
        if self.centre is None:
            return maps
        shares = [_kept_share(resized(x, maps.shape[1:])) for x in self.resemblance(encodings)]
        return np.asarray(maps) * np.stack(shares)


def pooling_weights(
    prompted: Sequence[PromptedImage], images: Sequence[int], height: int, width: int
) -> Float[Ndarray, "M h w"] | None:
    """The weights of the cells of some images, with sum 1 in each; None without a prompt in them.

    images: their positions in the group.
    """
    by_image = {each.image: each.marked for each in prompted}
    if not by_image.keys() & set(images):
        return None
    even = np.full((height, width), 1 / (height * width), np.float32)
    return np.stack(
        [_weights(by_image[n], even) if n in by_image else even for n in images]
    )  # [M, h, w]


def region_weights(
    prompted: Sequence[PromptedImage], images: Sequence[int], height: int, width: int
) -> Float[Ndarray, "M K h w"]:
    """Weights of the cells that were shown, that were excluded, and of all; K = 3.

    They sum to 1 in each image where there are such cells, and are 0 elsewhere.
    """
    weights = np.zeros((len(images), 3, height, width), np.float32)
    weights[:, 2] = 1 / (height * width)
    places = {n: row for row, n in enumerate(images)}
    for each in prompted:
        if each.image in places:
            for kind, pixels in enumerate((each.marked.shown, each.marked.excluded)):
                if pixels.any():
                    weights[places[each.image], kind] = coverage(pixels, height, width)
    return weights


def counted_images(
    prompted: Sequence[PromptedImage], count: int, *, first: bool
) -> Int[Ndarray, " _"]:
    """The positions of the images from which gamma is computed.

    first: whether it is the first iteration, in which the images that show the object suffice.
    """
    shown = [each.image for each in prompted if each.marked.shows_object]
    if first and shown:
        return np.asarray(shown)
    absent = [each.image for each in prompted if each.is_absent]
    left = np.setdiff1d(np.arange(count), absent)
    return left if len(left) else np.arange(count)


def region_means(
    encodings: Encodings, weights: Float[Ndarray, "M K h w"] | None
) -> Float[Ndarray, "M K C"] | None:
    """The mean descriptors under weights, such as those of `region_weights`."""
    if weights is None:
        return None
    found = _descriptors(encodings)
    return None if found is None else np.einsum("mkhw,mhwc->mkc", weights, found)


def exclusion_of(
    means: Float[Ndarray, "1 N 3 C"] | None, prompted: Sequence[PromptedImage]
) -> Exclusion:
    """The exclusion of a group, from the mean descriptors of `region_means` in each image."""
    if means is None:
        return Exclusion()
    shown = [each.image for each in prompted if each.marked.shows_object]
    excluded = [each.image for each in prompted if each.marked.excluded.any()]
    centre = means[0, :, 2].mean(axis=0)
    away = unit_length(means[0, excluded, 1].mean(axis=0) - centre)
    towards = (
        unit_length(means[0, shown, 0].mean(axis=0) - centre) if shown else np.zeros_like(away)
    )
    return Exclusion(centre, towards - away, 0.0 if shown else EXCLUSION_MARGIN)


def mark_maps(
    maps: Float[Any, "M S S"], prompted: Sequence[PromptedImage], images: Sequence[int]
) -> Float[Any, "M S S"]:
    """Probability maps of some images with the marks in them; see `with_marks`."""
    found = {each.image: each.marked for each in prompted}
    if not found:
        return maps
    return np.stack(
        [
            with_marks(np.asarray(each), found[n]) if n in found else np.asarray(each)
            for n, each in zip(images, maps, strict=True)
        ]
    )


def mark_presence(
    presence: Float[Ndarray, " M"], prompted: Sequence[PromptedImage], images: Sequence[int]
) -> Float[Ndarray, " M"]:
    """The presence of some images: 1 where the object was certainly shown, 0 where it is absent."""
    found = {each.image: each for each in prompted}
    known = {n: 1.0 for n, each in found.items() if each.marked.sure.any()}
    known |= {n: 0.0 for n, each in found.items() if each.is_absent}
    return np.asarray([known.get(n, p) for n, p in zip(images, presence, strict=True)], np.float32)


def with_marks(probability: Float[Ndarray, "H W"], found: Marked) -> Float[Ndarray, "H W"]:
    """A probability that is 1 where the object certainly was shown and 0 where it was excluded.

    found: of any size; the marks are resized to that of the probability.
    """
    inside, outside = (_resized(x, probability.shape) for x in (found.sure, found.excluded))
    return np.where(inside, 1, np.where(outside, 0, probability)).astype(np.float32)


def within_shown(probability: Float[Ndarray, "H W"], found: Marked) -> Float[Ndarray, "H W"]:
    """A probability that is 0 outside of what was shown: of a box, or else of the connected parts
    of the mask that hold a point or overlap a mask. It is unchanged where nothing was shown.

    found: of any size; the marks are resized to that of the probability.
    """
    shown, sure = (_resized(x, probability.shape) for x in (found.shown, found.sure))
    if not shown.any():
        return probability
    if (shown & ~sure).any():  # a box
        kept = shown
    else:
        parts, _ = label((probability > THRESHOLD) | sure)
        kept = np.isin(parts, parts[sure])
    return np.where(kept, probability, 0).astype(np.float32)


def _resized(pixels: Bool[Ndarray, "H W"], size: tuple[int, ...]) -> Bool[Ndarray, "h w"]:
    if pixels.shape == size or not pixels.any():
        return np.broadcast_to(pixels, size) if pixels.shape == size else np.zeros(size, bool)
    return resized(pixels.astype(np.float32), (size[0], size[1])) > 0


def _weights(found: Marked, even: Float[Ndarray, "h w"]) -> Float[Ndarray, "h w"]:
    if found.shows_object:
        return coverage(found.shown, *even.shape)
    left = ~found.excluded
    return coverage(left, *even.shape) if left.any() else even


def _descriptors(encodings: Encodings) -> Any:
    """The coarsest maps; the fused ones where the semantic modulator is off; None without both."""
    return stacked_maps(
        [each.fused if each.coarsest is None else each.coarsest for each in encodings]
    )


def _kept_share(likeness: Float[Ndarray, "*M h w"]) -> Float[Ndarray, "*M h w"]:
    """The share of a probability that is kept where `Exclusion.resemblance` is so large."""
    return expit(EXCLUSION_SHARPNESS * likeness)


def unit_length(x: Any) -> Any:
    """Each row at length 1; a zero row stays zero."""
    return x / ((x**2).sum(-1, keepdims=True) + SMALL) ** 0.5
