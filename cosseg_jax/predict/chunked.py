"""The one way to predict: images are encoded, their group is aggregated, the images are segmented.

Only the aggregation looks at a whole group, and it needs little data of each image. Everything else
runs on chunks of a fixed number of images, so that the network is compiled once and a group may be
of any size. Encodings are the expensive part. They are kept within a budget of bytes, so that
further iterations, other prompts and other groups of the same images do not run the backbone again;
an image without room for its encoding is encoded again whenever it is needed.

`Predictor`, validation, the evaluator and the web page all predict through this file; exported
programs are made of the same steps (`predict.programs`).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.data.prompts import coverage
from cosseg_jax.models.spatial import prompted_prior
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.predict.encodings import ENCODING_BYTES, EncodedImage, KeptEncodings
from cosseg_jax.predict.programs import mirror_mean, programs_of
from cosseg_jax.types import (
    GroupContext,
    GroupPrediction,
    ImageEncoding,
    Ndarray,
)

CHUNK_SIZE = 5  # images that the network sees at once
THRESHOLD = 0.5  # probability above which a pixel belongs to the object

Reporter = Callable[[int], None]  # called with a number of images that passed through a step


class PromptedRegion(NamedTuple):
    """The position of an image in its group, and the pixels of it that a prompt marks."""

    image: int
    region: Bool[Ndarray, "H W"]


class ChunkedNetwork:
    """A network with its variables, which predicts groups of encoded images.

    Args:
        network: the network.
        variables: its `params` and `batch_stats`.
        image_size: S, the side of its square input in pixels.
        chunk_size: how many images it sees at once; it changes no result beyond rounding.
        encoding_bytes: how many bytes of encodings are kept.
        mirror: whether probabilities are averaged with those of the mirrored images.
    """

    def __init__(
        self,
        network: SSNM,
        variables: Mapping[str, Any],
        image_size: int,
        *,
        chunk_size: int = CHUNK_SIZE,
        encoding_bytes: int = ENCODING_BYTES,
        mirror: bool = False,
    ):
        self.image_size, self.chunk_size, self.mirror = image_size, chunk_size, mirror
        self.num_iterations = network.num_iterations
        # Linen modules are hashable, which type checkers do not know.
        self._programs = programs_of(network, image_size)  # pyright: ignore[reportArgumentType]
        self._variables = jax.device_put(dict(variables))
        self._kept = KeptEncodings(encoding_bytes)

    def with_variables(self, variables: Mapping[str, Any]) -> "ChunkedNetwork":
        """The same compiled network with other variables; it keeps no encoding yet."""
        other = copy.copy(self)
        other._variables = jax.device_put(dict(variables))
        other._kept = KeptEncodings(self._kept.most_bytes)
        return other

    @property
    def steps(self) -> int:
        """How often `segment` reports each image: once when pooled, then once per iteration."""
        return (1 + self.num_iterations) * (2 if self.mirror else 1)

    def encode(self, group: Sequence[EncodedImage], report: Reporter = lambda count: None) -> None:
        """Encodes images in advance, as far as the budget holds their encodings."""
        for chunk in self._chunks(group):
            if self._kept.room:
                self._encodings(chunk, group)
            report(len(chunk))

    def segment(
        self,
        group: Sequence[EncodedImage],
        prompt: PromptedRegion | None = None,
        *,
        wanted: Sequence[int] | None = None,
        report: Reporter = lambda count: None,
    ) -> GroupPrediction:
        """Predicts one group of N >= 1 images.

        Args:
            group: the images.
            prompt: the object in one of them, or None.
            wanted: the positions of the images whose masks are wanted; None for all. The others
                only take part in the aggregation, and have no rows in `probability_maps`,
                `prior` and `presence`.
            report: called with numbers of images, `steps` times for each one.
        """
        found = self._segment(group, prompt, wanted, report)
        if self.mirror:
            if prompt is not None:
                prompt = prompt._replace(region=prompt.region[:, ::-1])
            flipped = self._segment([image.flipped for image in group], prompt, wanted, report)
            maps = mirror_mean(found.probability_maps, flipped.probability_maps)
            found = found._replace(probability_maps=maps)
        presence = np.asarray(self._programs.presence(found.probability_maps))
        return found._replace(presence=presence)

    def _segment(
        self,
        group: Sequence[EncodedImage],
        prompt: PromptedRegion | None,
        wanted: Sequence[int] | None,
        report: Reporter,
    ) -> GroupPrediction:
        programs, variables, chunks = self._programs, self._variables, self._chunks(group)
        weights = [self._prompt_weights(prompt, part, chunk) for part, chunk in enumerate(chunks)]

        def pool(part: int, encoding: ImageEncoding) -> Any:
            return encoding.fused, programs.pool(variables, encoding, weights[part])

        fused, statistics = self._each(chunks, group, pool, report)
        context = programs.aggregate(variables, fused, statistics, len(group))
        context = _with_prompt(context, fused, prompt)
        for _ in range(1, self.num_iterations):
            contexts = self._by_chunk(context, chunks)

            def mask_pool(part: int, encoding: ImageEncoding, contexts: Any = contexts) -> Any:
                return programs.mask_pool(variables, encoding, contexts[part], weights[part])

            statistics = self._each(chunks, group, mask_pool, report)
            context = programs.reaggregate(variables, context, statistics)
        if wanted is not None:
            group = [group[place] for place in wanted]
            context, chunks = _of_images(context, wanted), self._chunks(group)
        contexts = self._by_chunk(context, chunks)

        def probabilities(part: int, encoding: ImageEncoding) -> Any:
            return programs.probabilities(variables, encoding, contexts[part])

        maps = self._each(chunks, group, probabilities, report)[0]  # [N, S, S]
        return GroupPrediction(
            maps,
            np.asarray(context.prior.values[0]),
            np.zeros(len(maps), np.float32),
            np.asarray(jax.nn.sigmoid(context.semantics.class_logits[0])),
        )

    def _chunks(self, group: Sequence[EncodedImage]) -> list[Sequence[EncodedImage]]:
        size = self.chunk_size
        return [group[first : first + size] for first in range(0, len(group), size)]

    def _each(
        self,
        chunks: Sequence[Sequence[EncodedImage]],
        group: Sequence[EncodedImage],
        compute: Callable[[int, ImageEncoding], Any],
        report: Reporter,
    ) -> Any:
        """Computes a tree of arrays [M, ...] of every chunk; joins them to [1, N, ...]."""
        parts = []
        for part, chunk in enumerate(chunks):
            used = len(chunk)
            tree = compute(part, self._padded(self._encodings(chunk, group)))
            parts.append(jax.tree.map(lambda x, used=used: np.asarray(x[:used]), tree))
            report(used)
        return jax.tree.map(lambda *x: np.concatenate(x)[None], *parts)

    def _encodings(
        self, chunk: Sequence[EncodedImage], group: Sequence[EncodedImage]
    ) -> list[ImageEncoding]:
        """The encodings of a chunk; those that are missing are computed together."""
        missing = [image for image in chunk if image.arrays is None]
        found = {id(image): image.arrays for image in chunk}
        if missing:
            inputs = self._padded([image.load() for image in missing])
            encoded = self._programs.encode(self._variables, inputs)
            for place, image in enumerate(missing):
                arrays = jax.tree.map(lambda x, place=place: x[place], encoded)
                found[id(image)] = arrays
                self._kept.offer(image, arrays, group)
        self._kept.used(chunk)
        return [found[id(image)] for image in chunk]  # type: ignore[misc]

    def _padded(self, trees: Sequence[Any]) -> Any:
        """Stacks trees to [M, ...], where M is the size of a chunk, or 1 for a single image."""
        size = 1 if len(trees) == 1 else self.chunk_size
        filled = [*trees, *[trees[-1]] * (size - len(trees))]
        stack = np.stack if isinstance(jax.tree.leaves(trees[0])[0], np.ndarray) else jnp.stack
        return jax.tree.map(lambda *leaves: stack(leaves), *filled)

    def _by_chunk(
        self, context: GroupContext, chunks: Sequence[Sequence[EncodedImage]]
    ) -> list[GroupContext]:
        """The context with the prior of one chunk's images only, for every chunk."""
        values, contexts, first = np.asarray(context.prior.values), [], 0
        for chunk in chunks:
            part = self._padded(list(values[0, first : first + len(chunk)]))  # [M, h, w]
            first += len(chunk)
            contexts.append(context._replace(prior=context.prior._replace(values=part[None])))
        return contexts

    def _prompt_weights(
        self, prompt: PromptedRegion | None, part: int, chunk: Sequence[EncodedImage]
    ) -> Float[Ndarray, "M h w"] | None:
        """The pooling weights of a chunk's images; None where none of them is prompted."""
        if prompt is None or prompt.image // self.chunk_size != part:
            return None
        height, width = self._programs.grid(self._variables)
        weights = np.full((len(chunk), height, width), 1 / (height * width), np.float32)
        weights[prompt.image % self.chunk_size] = coverage(prompt.region, height, width)
        return self._padded(list(weights))


def binary_mask(
    probability: Float[Ndarray, "H W"], presence: float, threshold: float = THRESHOLD
) -> Bool[Ndarray, "H W"]:
    """Where the probability exceeds the threshold; empty where the presence does not."""
    if presence <= threshold:
        return np.zeros(probability.shape, bool)
    return probability > threshold


def _of_images(context: GroupContext, places: Sequence[int]) -> GroupContext:
    values = np.asarray(context.prior.values)[:, list(places)]
    return context._replace(prior=context.prior._replace(values=values))


def _with_prompt(context: GroupContext, fused: Any, prompt: PromptedRegion | None) -> GroupContext:
    """The context whose spatial prior is drawn towards the prompted object."""
    if prompt is None or fused is None:
        return context
    weights = coverage(prompt.region, *fused.shape[2:4])
    values = prompted_prior(fused[0], context.prior.values[0], prompt.image, weights)
    return context._replace(prior=context.prior._replace(values=values[None]))
