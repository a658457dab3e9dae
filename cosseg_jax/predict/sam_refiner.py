"""Masks refined by MobileSAM, and the masks of users' prompts.

Each connected part of our mask prompts the decoder with its box and points inside it, once without
and once with our probability as mask input. Of the decoder's masks the one that overlaps most with
ours is taken; where none overlaps by half, ours is kept. The result is the median of three
probabilities: ours and the two of the decoder. Holes in our mask stay open. docs/edges.md has the
measurements behind these choices.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.special import expit

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.data.resizing import resized, resized_mask
from cosseg_jax.models.sam.frame import (
    MASK_STRIDE,
    Frame,
    frame_of,
    to_frame,
    to_image,
    to_input,
    to_mask_prompt,
)
from cosseg_jax.models.sam.hub import sam_weights
from cosseg_jax.models.sam.prompts import Points, PromptPoints, Prompts, prompt_of, stack
from cosseg_jax.models.sam.sam import mobile_sam, traced_encoder
from cosseg_jax.models.sam.weights import load_sam
from cosseg_jax.models.traces import TracedFunction
from cosseg_jax.predict.binary_masks import iou as mask_iou
from cosseg_jax.predict.sam_prompts import NUM_POINTS, Part, mask_logits, parts_of, prompt_for
from cosseg_jax.types import Ndarray

SMALL_SIDE, LARGE_SIDE = 512, 1024  # sides of SAM's input, for small images and for others
SMALL_IMAGE = 640  # pixels of the longer side, up to which an image is small
MIN_OVERLAP = 0.5  # IoU with our mask, below which ours is kept
ESTIMATE_WEIGHT = 0.1  # of the decoder's estimated IoU, in the choice of a prompt's mask
AGREEMENT_WEIGHT = 2 / ESTIMATE_WEIGHT  # of a point on the right side of a mask
HOLE = 0.3  # probability below which a pixel surrounded by our mask is a hole
KEPT = 64  # embeddings that are kept, 0.5 to 2 MB each
WITHOUT, WITH = False, True  # our probability as mask input
WAYS = (WITHOUT, WITH)


class Embedded(NamedTuple):
    """An image after SAM's encoder."""

    embedding: Float[Any, "h w C"]
    frame: Frame


class SamRefiner:
    """Refines masks; it loads MobileSAM once and may be called from several threads.

    Args:
        weights: a file of MobileSAM's weights; by default the published one, downloaded once.
        image_size: the side of SAM's input in pixels; by default as large as the image needs.

    Raises:
        UserError: for a file that does not hold MobileSAM's weights.
        OSError: where the weights can neither be found nor downloaded.
    """

    def __init__(self, weights: str | Path | None = None, image_size: int | None = None):
        self._size = image_size
        self._variables = jax.device_put(load_sam(sam_weights(weights), mobile_sam()))
        self._programs = {
            size: _Programs(size) for size in {image_size or SMALL_SIDE, image_size or LARGE_SIDE}
        }
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(
        self, probability_map: Float[Ndarray, "S S"], image: UInt8[Ndarray, "H W 3"]
    ) -> Float[Ndarray, "H W"]:
        """The refined probability at the image's own size, 0..1.

        probability_map: ours, at the network's size. image: RGB, at its own size.
        """
        if not parts_of(probability_map > 0.5):
            return resized(probability_map, image.shape[:2])
        return self.refine(probability_map, self.embed(image))

    def embed(self, image: UInt8[Ndarray, "H W 3"]) -> Embedded:
        """The image's embedding, which is kept for further masks and prompts."""
        key = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        with self._lock:  # one image at a time: the encoder uses every core by itself
            if key not in self._kept:
                self._kept[key] = self._encoded(image)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def refine(
        self,
        probability_map: Float[Ndarray, "S S"],
        embedded: Embedded,
        negative: Points = (),
    ) -> Float[Ndarray, "H W"]:
        """The refined probability of an embedded image, at its own size.

        negative: (x, y) of points that are not on the object, in pixels of the image.
        """
        parts = parts_of(probability_map > 0.5)
        size = embedded.frame.image
        ours = resized(probability_map, size)
        found = [self._decode(part, probability_map, embedded, negative) for part in parts]
        voted = _median(
            ours,
            *(_joined(ours, probability_map, parts, found, way, embedded.frame) for way in WAYS),
        )
        holes = binary_fill_holes(probability_map > 0.5) & (probability_map < HOLE)
        if not holes.any():
            return voted
        return np.where(resized_mask(holes, size), np.minimum(voted, ours), voted)

    def prompted(
        self,
        prompts: Sequence[Prompt],
        probability_map: Float[Ndarray, "S S"],
        image: UInt8[Ndarray, "H W 3"],
    ) -> Float[Ndarray, "H W"]:
        """The probability of what a user's prompts show in their image, at its own size.

        Each prompt of points or a box gives one mask, and the result is the largest probability of
        all. Negative points are given to the decoder with each of them.

        prompts: one or more of this image.
        probability_map: of the object that the group shares under these prompts; it chooses among
            the masks that a prompt may mean, and is refined where nothing shows the object.
        """
        negative = [point for prompt in prompts for point in prompt.negative]
        found = [
            self._prompted(prompt, negative, probability_map, image)
            for prompt in prompts
            if prompt.shows_object
        ]
        if found:
            return np.max(found, axis=0)
        if not parts_of(probability_map > 0.5):
            return resized(probability_map, image.shape[:2])
        return self.refine(probability_map, self.embed(image), negative)

    def _prompted(
        self,
        prompt: Prompt,
        negative: Points,
        probability_map: Float[Ndarray, "S S"],
        image: UInt8[Ndarray, "H W 3"],
    ) -> Float[Ndarray, "H W"]:
        """The probability of what one prompt shows."""
        if prompt.mask is not None:
            side = probability_map.shape[0]
            shown = resized(prompt.mask.astype(np.float32), (side, side))
            if not parts_of(shown > 0.5):
                return resized(probability_map, image.shape[:2])
            return self.refine(shown, self.embed(image), negative)
        embedded = self.embed(image)
        frame, box = embedded.frame, prompt.box
        corners = None if box is None else to_frame([box[:2], box[2:]], frame).ravel()
        inside, beside = to_frame(prompt.positive, frame), to_frame(list(negative), frame)
        logits, iou = self._masks(prompt_of(inside, beside, corners), embedded, None)
        fit = [_agreement(each, inside, beside) for each in logits[0]]
        chosen = _likeliest(logits[0], iou[0] + fit, probability_map, embedded)
        return _probability(logits[0, chosen], frame)

    def _encoded(self, image: UInt8[Ndarray, "H W 3"]) -> Embedded:
        small = max(image.shape[:2]) <= SMALL_IMAGE
        frame = frame_of(image.shape[:2], self._size or (SMALL_SIDE if small else LARGE_SIDE))
        program = self._programs[max(frame.padded)]
        embedding = program.encode(self._variables, to_input(image, frame)[None])
        return Embedded(np.asarray(embedding, np.float16)[0], frame)

    def _decode(
        self,
        part: Part,
        probability_map: Float[Ndarray, "S S"],
        embedded: Embedded,
        negative: Points,
    ) -> dict[bool, Float[Ndarray, "h4 w4"] | None]:
        """The logits of a part's mask each way; None where no mask overlaps enough with ours."""
        mask = to_mask_prompt(mask_logits(part, probability_map), embedded.frame)
        beside = to_frame(list(negative), embedded.frame)
        logits, _ = self._masks(prompt_for(part, embedded.frame, beside), embedded, mask)
        return {way: _overlapping(logits[int(way)], mask > 0) for way in WAYS}

    def _masks(
        self, prompt: PromptPoints, embedded: Embedded, mask: Float[Ndarray, "h4 w4"] | None
    ) -> tuple[Float[Ndarray, "W 4 h4 w4"], Float[Ndarray, "W 4"]]:
        """The decoder's masks without and with a mask input, and their estimated IoU."""
        size = -(-len(prompt.labels) // NUM_POINTS) * NUM_POINTS  # few sizes are compiled
        points, labels = stack([prompt], size)
        if mask is None:
            prompts = Prompts(points[None], labels[None])
        else:
            prompts = Prompts(
                np.repeat(points, 2, axis=0)[None],
                np.repeat(labels, 2, axis=0)[None],
                np.stack([mask, mask])[None],
                np.asarray([WAYS]),
            )
        program = self._programs[max(embedded.frame.padded)]
        logits, iou = program.decode(self._variables, embedded.embedding[None], tuple(prompts))
        return np.asarray(logits)[0], np.asarray(iou)[0]


class _Programs:
    """The compiled encoder and decoder for one side of the input."""

    def __init__(self, size: int):
        sam = mobile_sam(size)

        def decode(variables: Any, embedding: Any, prompts: Any) -> tuple[Any, Any]:
            """The logits and the estimated IoU of masks; prompts: the fields of `Prompts`."""
            found: Any = sam.apply(variables, embedding, Prompts(*prompts), method="decode")
            return found.logits, found.iou

        self.encode = traced_encoder(sam)
        self.decode = TracedFunction(decode, f"SAM decode {sam}")


def _overlapping(
    logits: Float[Ndarray, "4 h4 w4"], mask: Bool[Ndarray, "h4 w4"]
) -> Float[Ndarray, "h4 w4"] | None:
    """Of four masks the one that overlaps most with ours; None where none does by MIN_OVERLAP."""
    overlaps = [mask_iou(each > 0, mask) for each in logits]
    best = int(np.argmax(overlaps))
    return logits[best] if overlaps[best] >= MIN_OVERLAP else None


def _likeliest(
    logits: Float[Ndarray, "4 h4 w4"],
    iou: Float[Ndarray, "4"],
    probability_map: Float[Ndarray, "S S"],
    embedded: Embedded,
) -> int:
    """Of the masks that a prompt may mean, the one that overlaps most with what the group shares.

    Where that leaves a doubt, the decoder's own estimate decides.
    """
    shared = to_mask_prompt(probability_map, embedded.frame) > 0.5
    overlaps = [mask_iou(logits[n] > 0, shared) for n in range(1, 4)]
    scores = [each + ESTIMATE_WEIGHT * float(iou[n]) for n, each in enumerate(overlaps, start=1)]
    return 1 + int(np.argmax(scores))


def _agreement(
    logits: Float[Ndarray, "h4 w4"],
    inside: Float[Ndarray, "n 2"],
    beside: Float[Ndarray, "m 2"],
) -> float:
    """The weight of a mask for the points that it has on the right side; more than any overlap.

    inside, beside: (x, y) in pixels of the encoder's input, at whose stride 4 the logits are.
    """
    right = 0
    for points, wanted in ((inside, True), (beside, False)):
        for x, y in points // MASK_STRIDE:
            row, column = np.clip([y, x], 0, np.asarray(logits.shape) - 1).astype(int)
            right += (logits[row, column] > 0) == wanted
    return AGREEMENT_WEIGHT * right


def _joined(
    ours: Float[Ndarray, "H W"],
    probability_map: Float[Ndarray, "S S"],
    parts: list[Part],
    found: list[dict[bool, Float[Ndarray, "h4 w4"] | None]],
    way: bool,
    frame: Frame,
) -> Float[Ndarray, "H W"]:
    """The probability of all parts one way: the decoder's, and ours where it was kept."""
    refined, masks = [], []
    for part, logits in zip(parts, found, strict=True):
        if (mask := logits[way]) is not None:
            refined.append(part.region)
            masks.append(mask)
    if not masks:
        return ours
    probability = _probability(np.max(masks, axis=0), frame)
    kept = (probability_map > 0.5) & ~np.any(refined, axis=0)
    if not kept.any():
        return probability
    # Each pixel belongs to the nearest part: around a part that is kept, ours is taken.
    far = distance_transform_edt(~kept) < distance_transform_edt(~(probability_map > 0.5) | kept)
    return np.where(resized_mask(far, ours.shape), np.maximum(probability, ours), probability)


def _probability(logits: Float[Ndarray, "h4 w4"], frame: Frame) -> Float[Ndarray, "H W"]:
    return expit(to_image(logits, frame))


def _median(*three: Float[Ndarray, "H W"]) -> Float[Ndarray, "H W"]:
    a, b, c = three
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
