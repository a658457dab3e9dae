"""From masks of some images to a class of a concept, and from that to the prior of other images.

The network knows some kinds of objects well and others not at all. Where it finds the object in the
images from which a class is learnt, by gamma and S alone, it is trusted; where it does not, the
likeness to the object's descriptors rather than to those around it decides.

gamma is pooled under the masks. Two prototypes, the mean unit descriptors (phi(I), the fused map)
of the object and of the rest, split all cells by which one is nearer; S is that split, scaled to
mean square 1 over the images from which it was learnt, as in `models.spatial.prompted_prior`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, logit

from cosseg_jax.data.prompts import coverage
from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.errors import UserError
from cosseg_jax.models.spatial import SMALL
from cosseg_jax.predict.binary_masks import THRESHOLD, iou
from cosseg_jax.predict.concept import LearntClass
from cosseg_jax.predict.encodings import Encodings, stacked_maps
from cosseg_jax.predict.prompting import unit_length
from cosseg_jax.types import ImageEncoding, Ndarray

EVIDENCE = 16.0  # logits per unit of cosine by which a cell resembles the object more than the rest
NO_TRUST, FULL_TRUST = 0.25, 0.5  # IoU in the images that are learnt from; in between it rises
MOST_CERTAIN = 1e-4  # probabilities are clipped to this and 1 minus this before they become logits


class CellWeights(NamedTuple):
    """Weights of an image's cells, with sum 1: those of the object, of the rest, and of all.

    has_object, has_rest: False where there are no such cells; the weights are then 0.
    """

    values: Float[Ndarray, "3 h w"]
    has_object: bool
    has_rest: bool


class Described(NamedTuple):
    """What is learnt from each image.

    coarse, fine: mean descriptors under the three weights, of the coarsest map and of the fused one
        with length 1 in each cell; None where the network has no such map.
    moments: the mean over cells of the products of the fused descriptors' channels.
    """

    coarse: Float[Ndarray, "*M 3 C"] | None
    fine: Float[Ndarray, "*M 3 d"] | None
    moments: Float[Ndarray, "*M d d"] | None


def cell_weights(mask: Bool[Ndarray, "H W"], height: int, width: int) -> CellWeights:
    """The weights of an image with this mask of the object."""
    values = np.zeros((3, height, width), np.float32)
    values[2] = 1 / (height * width)
    if mask.any():
        values[0] = coverage(mask, height, width)
    if not mask.all():
        values[1] = coverage(~mask, height, width)
    return CellWeights(values, bool(mask.any()), not mask.all())


def describe(encodings: Encodings, weights: Float[Ndarray, "M 3 h w"]) -> Described:
    """What is learnt from images besides the semantic modulator's statistics."""
    coarse = fine = moments = None
    if (maps := stacked_maps([each.coarsest for each in encodings])) is not None:
        coarse = _means(maps, weights)
    if (maps := stacked_maps([each.fused for each in encodings])) is not None:
        x = unit_length(maps)
        fine = _means(x, _resized(weights, (x.shape[1], x.shape[2])))
        rows = x.reshape(len(x), -1, x.shape[-1])  # [M, h*w, d]
        moments = np.swapaxes(rows, 1, 2) @ rows / rows.shape[1]
    return Described(coarse, fine, moments)


def learnt_class(
    gamma: Float[Ndarray, " d"], described: Described, weights: Sequence[CellWeights]
) -> LearntClass:
    """A class from its gamma and from what was described of its images.

    described: of N images, of which one at least has the object.
    """
    with_object = np.asarray([each.has_object for each in weights])
    with_rest = np.asarray([each.has_rest for each in weights])
    coarse = described.coarse
    if coarse is None:
        coarse = np.zeros((len(weights), 3, 0), np.float32)
    centre = coarse[:, 2].mean(axis=0)
    direction, offset = _split(described, with_object, with_rest, len(gamma))
    return LearntClass(
        np.asarray(gamma, np.float32),
        direction,
        offset,
        centre,
        unit_length(coarse[with_object, 0] - centre),
        unit_length(coarse[with_rest, 1] - centre),
        np.ones((), np.float32),
        *(np.zeros(0, np.float32) for _ in range(2)),
    )


def trust_in(
    maps: Float[Ndarray, "N S S"], masks: Sequence[Bool[Ndarray, "_ _"]]
) -> Float[Ndarray, ""]:
    """How far the network's maps agree with the masks of the images that have the object, 0..1."""
    trust = (overlap(maps, masks) - NO_TRUST) / (FULL_TRUST - NO_TRUST)
    return np.asarray(np.clip(trust, 0, 1), np.float32)


def overlap(maps: Float[Ndarray, "N S S"], masks: Sequence[Bool[Ndarray, "_ _"]]) -> float:
    """The mean IoU of maps with the masks of the images that have the object."""
    shown = [(each > THRESHOLD, mask) for each, mask in zip(maps, masks, strict=True) if mask.any()]
    return float(np.mean([iou(found, resized_mask(mask, found.shape)) for found, mask in shown]))


def check_sizes(encoding: ImageEncoding, learnt: LearntClass) -> None:
    """Raises UserError for a class whose vectors have not the lengths of the network's maps."""
    features = encoding.laterals.stride4.shape[-1]
    channels = 0 if encoding.coarsest is None else encoding.coarsest.shape[-1]
    found = len(learnt.gamma), len(learnt.centre)
    if found != (features, channels):
        raise UserError(
            f"the concept is damaged: its vectors have {found[0]} and {found[1]} numbers; those of "
            f"the network with which it was learnt have {features} and {channels}"
        )


def prior_of(encodings: Encodings, learnt: LearntClass) -> Float[Ndarray, "M h w"]:
    """S of images, as far as a class is concerned; zero where the network has no such map."""
    maps = stacked_maps([each.fused for each in encodings])
    if maps is None:
        return np.zeros((len(encodings), 1, 1), np.float32)
    return unit_length(maps) @ learnt.direction + learnt.offset


def with_evidence(
    maps: Float[Ndarray, "M S S"], encodings: Encodings, learnt: LearntClass
) -> Float[Ndarray, "M S S"]:
    """Probabilities, raised where cells resemble the object of one of the images from which the
    class was learnt more than anything around it, and lowered elsewhere; the less, the more the
    network is trusted.
    """
    if not len(learnt.background) or learnt.trust == 1:
        return maps
    coarsest = stacked_maps([each.coarsest for each in encodings])
    if coarsest is None:
        return maps
    x = unit_length(coarsest - learnt.centre)
    margin = (x @ learnt.foreground.T).max(-1) - (x @ learnt.background.T).max(-1)  # [M, h, w]
    weight = EVIDENCE * (1 - float(learnt.trust))
    evidence = [resized(weight * each, maps.shape[1:]) for each in margin]
    return expit(logit(np.clip(maps, MOST_CERTAIN, 1 - MOST_CERTAIN)) + np.stack(evidence))


def _split(
    described: Described, with_object: Bool[Ndarray, " N"], with_rest: Bool[Ndarray, " N"], d: int
) -> tuple[Float[Ndarray, " d"], Float[Ndarray, ""]]:
    """Direction and offset of S."""
    fine, moments = described.fine, described.moments
    if fine is None or moments is None or not with_rest.any():
        return np.zeros(d, np.float32), np.zeros((), np.float32)
    near, far = fine[with_object, 0].mean(axis=0), fine[with_rest, 1].mean(axis=0)
    direction, offset = near - far, (far @ far - near @ near) / 2
    mean, square = fine[:, 2].mean(axis=0), moments.mean(axis=0)
    energy = direction @ square @ direction + 2 * offset * (direction @ mean) + offset**2
    scale = 1 / np.sqrt(energy + SMALL)
    return (scale * direction).astype(np.float32), np.asarray(scale * offset, np.float32)


def _means(
    x: Float[Ndarray, "M h w C"], weights: Float[Ndarray, "M 3 h w"]
) -> Float[Ndarray, "M 3 C"]:
    flat = weights.reshape(*weights.shape[:2], -1)  # [M, 3, h*w]
    return flat @ x.reshape(len(x), -1, x.shape[-1])  # [M, 3, C]


def _resized(weights: Float[Ndarray, "M 3 h w"], size: tuple[int, int]) -> Ndarray:
    """The weights at another stride, with the same sums."""
    if weights.shape[2:] == size:
        return weights
    found = np.stack([[resized(kind, size) for kind in each] for each in weights])
    total = found.sum(axis=(2, 3), keepdims=True)
    return found / np.maximum(total, SMALL) * weights.sum(axis=(2, 3), keepdims=True)
