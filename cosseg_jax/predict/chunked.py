"""The one way to predict: images are encoded, their group is aggregated, the images are segmented.

Only the aggregation looks at a whole group, and it needs little data of each image. Everything else
runs on chunks of a fixed number of images, so that the network is compiled once and a group may be
of any size. Encodings are the expensive part. They are kept within a budget of bytes, so that
further iterations, other prompts and other groups of the same images do not run the backbone again;
an image without room for its encoding is encoded again whenever it is needed.

`Predictor`, validation, the evaluator, the web page and (by the functions below the class) the
exported programs all predict through this file.
"""

import copy
import functools
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from cosseg_jax.data.prompts import coverage
from cosseg_jax.models.spatial import prompted_prior
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.types import (
    FeatureMaps,
    GroupContext,
    GroupPrediction,
    ImageEncoding,
    Ndarray,
)

CHUNK_SIZE = 5  # images that the network sees at once
ENCODING_BYTES = 2**30  # of encodings that are kept; 140 images of the shipped network
THRESHOLD = 0.5  # probability above which a pixel belongs to the object
PRESENCE_SHARE = 0.01  # of the pixels, the most probable ones, whose mean is the presence

Report = Callable[[int], None]  # called with a number of images that passed through a step


class PromptedRegion(NamedTuple):
    """The position of an image in its group, and the pixels of it that a prompt marks."""

    image: int
    region: Bool[Ndarray, "H W"]


class EncodedImage:
    """An image on its way through a network: what it is loaded from, and its encoding while kept.

    load: returns the network's input: uint8 RGB [S, S, 3], or the FeatureMaps [h, w, C] that its
        backbone gave. It is called once, and again if the encoding had to make room.
    """

    def __init__(self, load: Callable[[], Any]):
        self.load = load
        self.arrays: ImageEncoding | None = None
        self._flipped: EncodedImage | None = None

    @property
    def flipped(self) -> "EncodedImage":
        """The image mirrored left to right."""
        if self._flipped is None:
            self._flipped = EncodedImage(lambda: np.ascontiguousarray(self.load()[:, ::-1]))
        return self._flipped


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
        self._programs = _Programs(network, image_size)
        self._variables = jax.device_put(dict(variables))
        self._kept = _KeptEncodings(encoding_bytes)

    def with_variables(self, variables: Mapping[str, Any]) -> "ChunkedNetwork":
        """The same compiled network with other variables; it keeps no encoding yet."""
        other = copy.copy(self)
        other._variables = jax.device_put(dict(variables))
        other._kept = _KeptEncodings(self._kept.most_bytes)
        return other

    @property
    def steps(self) -> int:
        """How often `segment` reports each image: once when pooled, then once per iteration."""
        return (1 + self.num_iterations) * (2 if self.mirror else 1)

    def encode(self, group: Sequence[EncodedImage], report: Report = lambda count: None) -> None:
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
        report: Report = lambda count: None,
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
        report: Report,
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
        report: Report,
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


class _Programs:
    """The compiled steps of a network; networks that differ in their variables share them."""

    def __init__(self, network: SSNM, image_size: int):
        self.network, self.size = network, (image_size, image_size)
        self.encode = jax.jit(functools.partial(encoded, network))
        self.pool = jax.jit(functools.partial(network.apply, method="pool"))
        self.aggregate = jax.jit(self._aggregate, static_argnums=3)
        self.mask_pool = jax.jit(self._mask_pool)
        self.reaggregate = jax.jit(functools.partial(network.apply, method="reaggregate"))
        self.probabilities = jax.jit(self._probabilities)
        self.presence = jax.jit(presence_of)

    def grid(self, variables: Any) -> tuple[int, int]:
        """The cells of the coarsest map, height and width."""
        images = jax.ShapeDtypeStruct((1, *self.size, 3), jnp.uint8)
        encode = functools.partial(self.network.apply, train=False, method="encode")
        maps: Any = jax.eval_shape(encode, variables, images)
        return maps.stride32.shape[1:3]

    def _aggregate(self, variables: Any, fused: Any, statistics: Any, images: int) -> Any:
        return self.network.apply(variables, fused, statistics, 1, images, method="aggregate")

    def _mask_pool(self, variables: Any, encoding: Any, context: Any, weights: Any) -> Any:
        logits = self._logits(variables, encoding, context)
        return self.network.apply(variables, encoding, logits, weights, method="mask_pool")

    def _probabilities(self, variables: Any, encoding: Any, context: Any) -> Float[Array, "M S S"]:
        return jax.nn.sigmoid(self._logits(variables, encoding, context)[0])

    def _logits(self, variables: Any, encoding: Any, context: Any) -> Any:
        return self.network.apply(variables, encoding, context, self.size, method="segment")


class _KeptEncodings:
    """Keeps encodings within a budget; those of other groups, longest unused, make room first."""

    def __init__(self, most_bytes: int):
        self.most_bytes = most_bytes
        self.room = most_bytes > 0  # whether the encoding offered last was kept
        self._order: dict[int, weakref.ref[EncodedImage]] = {}
        self._lock = threading.Lock()  # a predictor may be called from several threads

    def offer(
        self, image: EncodedImage, arrays: ImageEncoding, group: Sequence[EncodedImage]
    ) -> None:
        """Keeps an encoding if there is room, or if images outside `group` can make room."""
        size = _bytes_of(arrays)
        with self._lock:
            alive = {key: held for key, ref in self._order.items() if (held := ref()) is not None}
            self._order = {key: self._order[key] for key in alive}
            kept = {key: _bytes_of(held.arrays) for key, held in alive.items()}
            members = {id(each) for each in group}
            total = sum(kept.values())
            for key in [key for key in kept if key not in members]:
                if total + size <= self.most_bytes:
                    break
                total -= kept[key]
                alive[key].arrays = None
                del self._order[key]
            self.room = total + size <= self.most_bytes
            if self.room:
                image.arrays = arrays
                self._order[id(image)] = weakref.ref(image)

    def used(self, images: Sequence[EncodedImage]) -> None:
        """Moves the images to the end of the order in which encodings make room."""
        with self._lock:
            for image in images:
                if id(image) in self._order:
                    self._order[id(image)] = self._order.pop(id(image))


def encoded(network: SSNM, variables: Any, inputs: Any) -> ImageEncoding:
    """The encodings of uint8 RGB images [M, S, S, 3], or of FeatureMaps [M, h, w, C]."""
    if not isinstance(inputs, FeatureMaps):
        inputs = network.apply(variables, inputs, train=False, method="encode")
    return network.apply(variables, inputs, method="project")  # type: ignore[return-value]


def predict_group(network: SSNM, variables: Any, images: Any, *, mirror: bool) -> GroupPrediction:
    """What `ChunkedNetwork.segment` computes, as one function of the images [N, S, S, 3] alone.

    It can be traced and exported, for any N.
    """

    def predict(images: Any) -> Any:
        return network.apply(variables, images[None], train=False)

    found = predict(images)
    maps = jax.nn.sigmoid(found.mask_logits[0])  # [N, S, S]
    if mirror:
        flipped = predict(jnp.flip(images, axis=2))
        maps = mirror_mean(maps, jax.nn.sigmoid(flipped.mask_logits[0]))
    return GroupPrediction(
        maps, found.prior.values[0], presence_of(maps), jax.nn.sigmoid(found.class_logits[0])
    )


def mirror_mean(maps: Any, of_flipped: Any) -> Any:
    """The mean of probability maps [N, S, S] and those of the mirrored images."""
    return (maps + of_flipped[..., ::-1]) / 2


def presence_of(maps: Float[Array | Ndarray, "N S S"]) -> Float[Array, " N"]:
    """The mean probability of the most probable hundredth of each map's pixels."""
    pixels = maps.shape[1] * maps.shape[2]
    count = max(1, round(PRESENCE_SHARE * pixels))
    top = jax.lax.top_k(jnp.asarray(maps).reshape(-1, pixels), count)[0]
    return jnp.mean(top, axis=1)


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


def _bytes_of(tree: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
