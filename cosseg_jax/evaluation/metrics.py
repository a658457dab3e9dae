"""P and J of binary masks, under the four protocols of the literature (section 4.2).

P is pixel accuracy, the share of pixels with the right label. J is the IoU (Jaccard index) of the
foreground. A protocol defines the size at which masks are compared, how a probability map becomes a
mask, the J of an image without the object, and what J is averaged over:

    original  own size, p > 0.5; an image without the object has no J; mean over the images of a
              class, then over classes (as Rubinstein et al. 2013 do)
    ssnm      224 x 224, p > min(mean + std, 0.8); without the object J = 0; mean over all images
              (the paper's released code, so its tables)
    ufo       as ssnm, with min(mean + std, 0.5)
    pooled    own size, p > 0.5; over the pooled pixels of a class, then mean over classes

The mean and standard deviation (of the population, in float64) are taken over all pixels of one
image's map. Void pixels never count. Maps are resized by Pillow's bilinear filter on floats, with
half-pixel centres and anti-aliasing; a resized truth or void mask is thresholded at 0.5. A metric
is a state of a few sums for each category (`start`, `update`, `merge`, `compute`), so memory does
not depend on the size of the data set.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from PIL import Image

from cosseg_jax.errors import check_choice
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.types import Ndarray


class Counts(NamedTuple):
    """Numbers of pixels of one image outside void.

    right: pixels with the right label. pixels: all of them.
    intersection, union: of the predicted and the true mask.
    """

    right: int
    pixels: int
    intersection: int
    union: int
    has_object: bool


class Tally(NamedTuple):
    """Sums over images for each category: the state of a metric."""

    images: Float[Ndarray, " L"]
    precision: Float[Ndarray, " L"]
    images_with_jaccard: Float[Ndarray, " L"]
    jaccard: Float[Ndarray, " L"]
    right: Float[Ndarray, " L"]
    pixels: Float[Ndarray, " L"]
    intersection: Float[Ndarray, " L"]
    union: Float[Ndarray, " L"]


class Scores(NamedTuple):
    """P and J in percent; None where no image defines them."""

    P: float | None
    J: float | None


class ProtocolScores(NamedTuple):
    """P and J of a data set under one protocol, and of each category that had images."""

    P: float | None
    J: float | None
    per_class: dict[str, Scores]


class Protocol(NamedTuple):
    """One way of computing P and J.

    side: the height and width at which masks are compared; None: the truth's own size.
    threshold: from a map to the probability that foreground must exceed.
    jaccard_without_object: J of an image without the object; None leaves it out of the mean of J.
    pooled: whether the pixels of a class are counted as if they were one image.
    over_classes: whether the result of a data set is the mean over classes, not over images.
    """

    side: int | None
    threshold: Callable[[np.ndarray], float]
    jaccard_without_object: float | None
    pooled: bool
    over_classes: bool


def _half(probability: np.ndarray) -> float:
    del probability
    return THRESHOLD


def _mean_plus_std(cap: float) -> Callable[[np.ndarray], float]:
    def threshold(probability: np.ndarray) -> float:
        mean = probability.mean(dtype=np.float64)
        return min(float(mean + probability.std(dtype=np.float64)), cap)

    return threshold


PROTOCOLS: dict[str, Protocol] = {
    "original": Protocol(None, _half, None, pooled=False, over_classes=True),
    "ssnm": Protocol(224, _mean_plus_std(0.8), 0.0, pooled=False, over_classes=False),
    "ufo": Protocol(224, _mean_plus_std(0.5), 0.0, pooled=False, over_classes=False),
    "pooled": Protocol(None, _half, None, pooled=True, over_classes=True),
}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name. Raises a UserError that lists the valid names for another one."""
    check_choice("the protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def resize_map(values: Float[Ndarray, "H W"], size: tuple[int, int]) -> Float[Ndarray, "h w"]:
    """Resizes a map to (height, width) = `size`, bilinearly, as float32."""
    if values.shape == size:
        return values.astype(np.float32, copy=False)
    height, width = size
    image = Image.fromarray(values.astype(np.float32, copy=False))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))  # [h, w]


def count(
    protocol: Protocol,
    probability: Float[Ndarray, "h w"],
    truth: Bool[Ndarray, "H W"],
    void: Bool[Ndarray, "H W"],
    present: bool = True,
) -> Counts:
    """Compares the prediction for one image with the truth.

    Args:
        protocol: one of `PROTOCOLS`.
        probability: of the foreground, 0..1, at any size.
        truth: the mask of the object, at the image's own size.
        void: pixels that do not count, at the same size.
        present: whether the predictor says that the object is in the image. Users get an empty mask
            where it is not, so the protocols with the fixed threshold score an empty mask as well.
    """
    height, width = truth.shape if protocol.side is None else (protocol.side, protocol.side)
    size = (height, width)
    probability = resize_map(probability, size)
    if truth.shape != size:
        truth = resize_map(truth.astype(np.float32), size) > 0.5
        void = resize_map(void.astype(np.float32), size) > 0.5
    # compared in float32, so that a constant map never exceeds its own mean
    predicted = probability > np.float32(protocol.threshold(probability))
    if not present and protocol.threshold is _half:
        predicted = np.zeros_like(predicted)
    valid = ~void
    truth = truth & valid
    return Counts(
        right=int(np.count_nonzero((predicted == truth) & valid)),
        pixels=int(np.count_nonzero(valid)),
        intersection=int(np.count_nonzero(predicted & truth)),
        union=int(np.count_nonzero((predicted & valid) | truth)),
        has_object=bool(truth.any()),
    )


def image_scores(protocol: Protocol, counts: Counts) -> Scores:
    """P and J of one image, in percent. Both are None for an image that is all void."""
    if counts.pixels == 0:
        return Scores(None, None)
    if counts.has_object:
        jaccard = counts.intersection / counts.union
    else:
        jaccard = protocol.jaccard_without_object
    return Scores(100 * counts.right / counts.pixels, None if jaccard is None else 100 * jaccard)


def start(num_categories: int) -> Tally:
    """The state before any image."""
    return Tally(*(np.zeros(num_categories) for _ in Tally._fields))


def update(tally: Tally, protocol: Protocol, category: int, counts: Counts) -> Tally:
    """The state after one more image of `category`; the given state is not changed."""
    P, J = image_scores(protocol, counts)
    added = Tally(*(sums.copy() for sums in tally))
    if P is not None:
        added.images[category] += 1
        added.precision[category] += P
    if J is not None:
        added.images_with_jaccard[category] += 1
        added.jaccard[category] += J
    added.right[category] += counts.right
    added.pixels[category] += counts.pixels
    added.intersection[category] += counts.intersection
    added.union[category] += counts.union
    return added


def merge(first: Tally, second: Tally) -> Tally:
    """The state after the images of both states."""
    return Tally(*(a + b for a, b in zip(first, second, strict=True)))


def compute(tally: Tally, protocol: Protocol, categories: Sequence[str]) -> ProtocolScores:
    """P and J in percent, of the data set and of each category that had images."""
    if protocol.pooled:
        P = _ratio(100 * tally.right, tally.pixels)
        J = _ratio(100 * tally.intersection, tally.union)
    else:
        P = _ratio(tally.precision, tally.images)
        J = _ratio(tally.jaccard, tally.images_with_jaccard)
    per_class = {
        categories[int(k)]: Scores(_defined(P[k]), _defined(J[k]))
        for k in np.flatnonzero(tally.images)
    }
    if protocol.over_classes:
        return ProtocolScores(_mean_without_nan(P), _mean_without_nan(J), per_class)
    return ProtocolScores(
        _defined(_ratio(tally.precision.sum(), tally.images.sum())),
        _defined(_ratio(tally.jaccard.sum(), tally.images_with_jaccard.sum())),
        per_class,
    )


def batch_scores(
    mask_logits: Float[Array | Ndarray, "*B N H W"],
    masks: Float[Array | Ndarray, "*B N H W"],
    valid: Bool[Array | Ndarray, "*B N H W"],
) -> dict[str, jax.Array]:
    """P and J in percent of a training batch at the network's size, p > 0.5, inside jit.

    P is the mean over images with a pixel outside void, J over those that show the object; 0 if
    there is no such image.
    """
    predicted, truth = (mask_logits > 0) & valid, (masks > 0.5) & valid

    def pixels(where: Any) -> jax.Array:
        return where.sum(axis=(-2, -1))  # [*B, N]

    right, total = pixels((predicted == truth) & valid), pixels(valid)
    intersection, union = pixels(predicted & truth), pixels(predicted | truth)
    has_object = pixels(truth) > 0
    precision = right / jnp.maximum(total, 1)  # [*B, N], 0 where all is void
    jaccard = jnp.where(has_object, intersection / jnp.maximum(union, 1), 0.0)  # [*B, N]
    return {
        "P": 100 * precision.sum() / jnp.maximum((total > 0).sum(), 1),
        "J": 100 * jaccard.sum() / jnp.maximum(has_object.sum(), 1),
    }


def _ratio(sums: np.ndarray | np.float64, counts: np.ndarray | np.float64) -> np.ndarray:
    """sums / counts, NaN where nothing was counted."""
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _mean_without_nan(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def _defined(value: np.ndarray | float) -> float | None:
    return None if np.isnan(value) else float(value)
