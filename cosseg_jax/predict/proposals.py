"""Object proposals: segments of anything in an image, by MobileSAM and a grid of points.

As the automatic mode of SAM does (Kirillov et al. 2023, section 4): every point of a grid prompts
the decoder, which answers with three masks; masks that the decoder itself doubts, that change with
the threshold, or that repeat a better one are dropped.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cosseg_jax.models.proposal_features import SIDE, Proposals
from cosseg_jax.models.sam.frame import Frame, frame_of, to_input
from cosseg_jax.models.sam.hub import sam_weights
from cosseg_jax.models.sam.mask_decoder import MULTI
from cosseg_jax.models.sam.prompts import NO_POINT, POSITIVE, Prompts
from cosseg_jax.models.sam.sam import Sam, mobile_sam, traced_encoder
from cosseg_jax.models.sam.weights import load_sam
from cosseg_jax.models.traces import TracedFunction
from cosseg_jax.types import Ndarray

INPUT_SIDE = 4 * SIDE  # side of MobileSAM's input, whose masks have a quarter of it
GRID = 10  # points along each side
POINTS_AT_ONCE = 50  # points that are decoded at once
MOST_PROPOSALS = 40  # proposals of an image
LEAST_SHARE, MOST_SHARE = 0.003, 0.9  # of the image
MIN_ESTIMATE = 0.55  # of the IoU, by the decoder itself
MIN_STABILITY = 0.7
MOST_OVERLAP = 0.75  # IoU with a better proposal
STABILITY_MARGIN = 1.0  # logits between which a stable mask does not change


class Proposer:
    """Finds the object proposals of images; it loads MobileSAM once.

    Args:
        weights: a file of MobileSAM's weights; by default the published one, downloaded once.

    Raises:
        UserError: for a file that does not hold MobileSAM's weights.
        OSError: where the weights can neither be found nor downloaded.
    """

    def __init__(self, weights: str | Path | None = None):
        sam = mobile_sam(INPUT_SIDE)
        self._variables = jax.device_put(load_sam(sam_weights(weights), sam))

        def decode(variables: Any, embedding: Any, points: Any) -> tuple[Array, ...]:
            return _decoded(sam, variables, embedding, points)

        self._encode = traced_encoder(sam)
        self._decode = TracedFunction(decode, f"SAM proposals {sam}")

    def __call__(self, image: UInt8[Ndarray, "S S 3"]) -> Proposals:
        """The proposals of an RGB image that was resized to a square, at most MOST_PROPOSALS."""
        frame = frame_of((image.shape[0], image.shape[1]), INPUT_SIDE)
        embedding = self._encode(self._variables, to_input(image, frame)[None])
        points = _grid(frame)
        parts = [
            self._decode(self._variables, embedding, points[first : first + POINTS_AT_ONCE])
            for first in range(0, len(points), POINTS_AT_ONCE)
        ]
        maps, estimates, stability = (
            np.concatenate([np.asarray(x) for x in each]) for each in zip(*parts, strict=True)
        )
        return _distinct(Proposals(maps, estimates, stability))


def _grid(frame: Frame) -> Float[Ndarray, "T 2"]:
    """Points (x, y) in the middle of GRID x GRID cells, in pixels of the input."""
    steps = (np.arange(GRID) + 0.5) * frame.scaled[0] / GRID
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2).astype(np.float32)


def _decoded(sam: Sam, variables: Any, embedding: Array, points: Array) -> tuple[Array, ...]:
    """Maps [3T, h4, w4] as uint8, estimates [3T] and stability [3T] of T points."""
    nothing = jnp.zeros_like(points)
    labels = jnp.tile(jnp.array([[POSITIVE, NO_POINT]]), (len(points), 1))  # [T, 2]
    prompts = Prompts(jnp.stack([points, nothing], axis=1)[None], labels[None])
    masks: Any = sam.apply(variables, embedding, prompts, method="decode")
    logits = masks.logits[0, :, MULTI]  # [T, 3, h4, w4]
    ends = STABILITY_MARGIN, -STABILITY_MARGIN
    smaller, larger = (jnp.sum(logits > end, axis=(2, 3)) for end in ends)
    stability = smaller / jnp.maximum(larger, 1)
    maps = jnp.round(255 * jax.nn.sigmoid(logits)).astype(jnp.uint8)
    return (
        maps.reshape(-1, *maps.shape[2:]),
        masks.iou[0, :, MULTI].reshape(-1),
        stability.reshape(-1),
    )


def _distinct(found: Proposals) -> Proposals:
    """The best proposals that are certain, of a sensible size, and not alike."""
    masks = found.maps >= 128
    area = masks.mean(axis=(1, 2))
    good = (area > LEAST_SHARE) & (area < MOST_SHARE)
    good &= (found.estimates > MIN_ESTIMATE) & (found.stability > MIN_STABILITY)
    order = np.argsort(-found.estimates * found.stability, kind="stable")
    order = order[good[order]]
    flat = masks[order].reshape(len(order), -1).astype(np.float32)
    overlap = flat @ flat.T
    union = flat.sum(axis=1)[:, None] + flat.sum(axis=1) - overlap
    alike = overlap > MOST_OVERLAP * union
    kept: list[int] = []
    for number in range(len(order)):
        if len(kept) < MOST_PROPOSALS and not alike[number, kept].any():
            kept.append(number)
    chosen = order[kept]
    return Proposals(found.maps[chosen], found.estimates[chosen], found.stability[chosen])
