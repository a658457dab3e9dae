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
import numpy as np
from jaxtyping import Bool, Float, Float16
from scipy.special import expit

from cosseg_jax.errors import UserError
from cosseg_jax.models.spatial import prompted_prior
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.predict import learning, prompting
from cosseg_jax.predict.concept import LearntClass, network_digest
from cosseg_jax.predict.encodings import ENCODING_BYTES, EncodedImage, Encodings, KeptEncodings
from cosseg_jax.predict.forking import check_not_forked, forks_so_far
from cosseg_jax.predict.programs import mirror_mean, programs_of
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import (
    GroupContext,
    GroupPrediction,
    ImageEncoding,
    Ndarray,
    Semantics,
    SpatialPrior,
)

CHUNK_SIZE = 5  # images that the network sees at once

Reporter = Callable[[int], None]  # called with a number of images that passed through a step


class UnmodulatedMaps(NamedTuple):
    """Maps of a group's images, for heads other than the network's own.

    coarse: the backbone's at stride 32.
    fine: the network's lateral one at stride 16.
    stride16: the backbone's.
    """

    coarse: Float16[Ndarray, "N h w C"]
    fine: Float16[Ndarray, "N h2 w2 d"]
    stride16: Float16[Ndarray, "N h2 w2 C2"]


class ChunkedNetwork:
    """A network with its variables, which predicts groups of encoded images.

    Its methods raise UserError in a process that was forked after it was made.

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
        self._forks = forks_so_far()

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

    def feature_maps(self, group: Sequence[EncodedImage]) -> UnmodulatedMaps:
        """The maps of each image that no modulator has touched, as float16.

        Raises UserError for a network without semantic modulator, which keeps no map of the
        backbone.
        """
        return UnmodulatedMaps(
            *self._half_precision(
                group, lambda each: (each.coarsest, each.laterals.stride16, each.stride16)
            )
        )

    def coarse_maps(self, group: Sequence[EncodedImage]) -> Float[Ndarray, "N h w C"]:
        """The first of the `feature_maps` alone; raises as these do."""
        return self._half_precision(group, lambda each: each.coarsest)

    def _half_precision(
        self, group: Sequence[EncodedImage], maps_of: Callable[[ImageEncoding], Any]
    ) -> Any:
        if not self._programs.network.use_semantic:
            raise UserError("the network has no semantic modulator (model.use_semantic is False)")

        def halves(part: int, encodings: Encodings) -> Any:
            halved = [
                jax.tree.map(lambda x: np.asarray(x, np.float16), maps_of(each))
                for each in encodings
            ]
            return jax.tree.map(lambda *arrays: np.stack(arrays), *halved)

        found = self._each(self._chunks(group), group, halves, lambda count: None)
        return jax.tree.map(lambda x: x[0], found)

    @property
    def feature_channels(self) -> tuple[int, int]:
        """The channels of the first two `feature_maps`."""
        return self._programs.coarsest(self._variables)[2], self._programs.network.features

    def segment(
        self,
        group: Sequence[EncodedImage],
        prompted: Sequence[PromptedImage] = (),
        *,
        wanted: Sequence[int] | None = None,
        report: Reporter = lambda count: None,
    ) -> GroupPrediction:
        """Predicts one group of N >= 1 images.

        Args:
            group: the images.
            prompted: what prompts mark, once for each image that has any.
            wanted: the positions of the images whose masks are wanted; None for all. The others
                only take part in the aggregation, and have no rows in `probability_maps`,
                `prior` and `presence`.
            report: called with numbers of images, `steps` times for each one.
        """
        found = self.segment_unmarked(group, prompted, wanted=wanted, report=report)
        rows = list(range(len(group)) if wanted is None else wanted)
        maps = prompting.mark_maps(found.probability_maps, prompted, rows)
        presence = np.asarray(self._programs.presence(maps) if prompted else found.presence)
        presence = prompting.mark_presence(presence, prompted, rows)
        return found._replace(probability_maps=maps, presence=presence)

    def segment_unmarked(
        self,
        group: Sequence[EncodedImage],
        prompted: Sequence[PromptedImage] = (),
        *,
        wanted: Sequence[int] | None = None,
        report: Reporter = lambda count: None,
    ) -> GroupPrediction:
        """What `segment` predicts before the marks themselves are put into the maps."""
        found = self._segment(group, prompted, wanted, report)
        maps = found.probability_maps
        if self.mirror:
            mirrored = [each.flipped for each in prompted]
            flipped = self._segment([image.flipped for image in group], mirrored, wanted, report)
            maps = mirror_mean(maps, flipped.probability_maps)
        presence = np.asarray(self._programs.presence(maps))
        return found._replace(probability_maps=maps, presence=presence)

    @property
    def digest(self) -> str:
        """Tells this network's variables from all others."""
        return network_digest(self._variables)

    def learn(
        self, group: Sequence[EncodedImage], masks: Sequence[Bool[Ndarray, "_ _"]]
    ) -> LearntClass:
        """Learns a class from images and the masks of its object in them, of any sizes.

        An image with an empty mask shows what is not the object. One mask at least is not empty.
        """
        return self.learn_and_find(group, masks)[0]

    def learn_and_find(
        self, group: Sequence[EncodedImage], masks: Sequence[Bool[Ndarray, "_ _"]]
    ) -> tuple[LearntClass, Float[Ndarray, "N S S"]]:
        """What `learn` learns, and the probability maps of it by gamma and S alone."""
        programs, variables, chunks = self._programs, self._variables, self._chunks(group)
        grid = programs.coarsest(variables)[:2]
        weights = [learning.cell_weights(mask, *grid) for mask in masks]
        cells = [self._padded([weights[n].values for n in n_s]) for n_s in self._places(group)]

        def pool(part: int, encodings: Encodings) -> Any:
            described = learning.describe(encodings, cells[part])
            return programs.pool(variables, encodings, cells[part][:, 0])[1], described

        statistics, described = self._each(chunks, group, pool, lambda count: None)
        counted = np.flatnonzero([each.has_object for each in weights])
        statistics = jax.tree.map(lambda x: x[:, counted], statistics)
        semantics = programs.reaggregate(variables, self._without_group(1), statistics).semantics
        described = jax.tree.map(lambda x: x[0], described)
        learnt = learning.learnt_class(np.asarray(semantics.gamma[0]), described, weights)
        maps = self.apply(group, learnt)[0]
        return learnt._replace(trust=learning.trust_in(maps, masks)), maps

    def apply(
        self, images: Sequence[EncodedImage], learnt: LearntClass
    ) -> tuple[Float[Ndarray, "M S S"], Float[Ndarray, "M h w"], Float[Ndarray, " M"]]:
        """The probability maps, priors and presences of a class in images, each by itself.

        Raises UserError for a class that only a second head finds.
        """
        if learnt.by_second_head:
            raise UserError(
                "the concept was learnt with a head for unknown categories, which this network "
                "lacks; learn it again with this network"
            )
        programs, variables, chunks = self._programs, self._variables, self._chunks(images)

        def segment(part: int, encodings: Encodings) -> Any:
            learning.check_sizes(encodings[0], learnt)
            prior = learning.prior_of(encodings, learnt)
            context = self._without_group(len(prior))
            context = GroupContext(
                context.prior._replace(values=prior[None]),
                context.semantics._replace(gamma=learnt.gamma[None]),
            )
            maps = np.asarray(programs.probabilities(variables, encodings, context))
            return learning.with_evidence(maps, encodings, learnt), prior

        maps, priors = self._each(chunks, images, segment, lambda count: None)
        return maps[0], priors[0], np.asarray(programs.presence(maps[0]))

    def _without_group(self, images: int) -> GroupContext:
        """A context in which the group says nothing."""
        network = self._programs.network
        gamma, classes = _filled(1.0, 1, network.features), _filled(0.0, 1, network.categories)
        prior = SpatialPrior(_filled(0.0, 1, images, 1, 1), _filled(0.0, 1))
        return GroupContext(prior, Semantics(gamma, classes))

    def _segment(
        self,
        group: Sequence[EncodedImage],
        prompted: Sequence[PromptedImage],
        wanted: Sequence[int] | None,
        report: Reporter,
    ) -> GroupPrediction:
        programs, variables, chunks = self._programs, self._variables, self._chunks(group)
        weights = [self._pooling_weights(prompted, images) for images in self._places(group)]
        regions = [self._region_weights(prompted, images) for images in self._places(group)]

        def pool(part: int, encodings: Encodings) -> Any:
            means = prompting.region_means(encodings, regions[part])
            return *programs.pool(variables, encodings, weights[part]), means

        fused, statistics, means = self._each(chunks, group, pool, report)
        context = programs.aggregate(variables, fused, statistics, np.arange(len(group)))
        context = self._prompted(context, fused, statistics, prompted)
        exclusion = prompting.exclusion_of(means, prompted)
        for _ in range(1, self.num_iterations):
            contexts = self._by_chunk(context, chunks)

            def mask_pool(part: int, encodings: Encodings, contexts: Any = contexts) -> Any:
                kept = exclusion.narrowed(weights[part], encodings)
                return programs.mask_pool(variables, encodings, contexts[part], kept)

            statistics = self._each(chunks, group, mask_pool, report)
            context = self._reaggregated(context, statistics, prompted, first=False)
        if wanted is not None:
            group = [group[place] for place in wanted]
            context, chunks = _of_images(context, wanted), self._chunks(group)
        contexts = self._by_chunk(context, chunks)

        def probabilities(part: int, encodings: Encodings) -> Any:
            maps = programs.probabilities(variables, encodings, contexts[part])
            return exclusion.lowered(maps, encodings)

        maps = self._each(chunks, group, probabilities, report)[0]  # [N, S, S]
        return GroupPrediction(
            maps,
            np.asarray(context.prior.values)[0],
            np.zeros(len(maps), np.float32),
            expit(np.asarray(context.semantics.class_logits)[0]),
        )

    def _chunks(self, group: Sequence[EncodedImage]) -> list[Sequence[EncodedImage]]:
        check_not_forked(self._forks)
        size = self.chunk_size
        return [group[first : first + size] for first in range(0, len(group), size)]

    def _each(
        self,
        chunks: Sequence[Sequence[EncodedImage]],
        group: Sequence[EncodedImage],
        compute: Callable[[int, Encodings], Any],
        report: Reporter,
    ) -> Any:
        """Computes a tree of arrays [M, ...] of every chunk; joins them to [1, N, ...]."""
        parts = []
        for part, chunk in enumerate(chunks):
            used = len(chunk)
            tree = compute(part, tuple(self._repeated(self._encodings(chunk, group))))
            parts.append(jax.tree.map(lambda x, used=used: np.asarray(x)[:used], tree))
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
            for image, encoding in zip(missing, encoded, strict=False):  # the rest fills the chunk
                found[id(image)] = encoding
                self._kept.offer(image, encoding, group)
        self._kept.used(chunk)
        return [found[id(image)] for image in chunk]  # type: ignore[misc]

    def _padded(self, trees: Sequence[Any]) -> Any:
        """Stacks trees of arrays of the host to [M, ...]; see `_repeated`."""
        return jax.tree.map(lambda *leaves: np.stack(leaves), *self._repeated(trees))

    def _repeated(self, trees: Sequence[Any]) -> list[Any]:
        """M trees, the last one repeated; M is the size of a chunk, or 1 for a single image."""
        size = 1 if len(trees) == 1 else self.chunk_size
        return [*trees, *[trees[-1]] * (size - len(trees))]

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

    def _places(self, group: Sequence[EncodedImage]) -> list[range]:
        """The positions of each chunk's images in the group."""
        return [
            range(first, min(first + self.chunk_size, len(group)))
            for first in range(0, len(group), self.chunk_size)
        ]

    def _pooling_weights(
        self, prompted: Sequence[PromptedImage], images: range
    ) -> Float[Ndarray, "M h w"] | None:
        """The pooling weights of a chunk's images; None where none of them is prompted."""
        if not any(each.image in images for each in prompted):
            return None
        grid = self._programs.coarsest(self._variables)[:2]
        found = prompting.pooling_weights(prompted, images, *grid)
        return None if found is None else self._padded(list(found))

    def _region_weights(
        self, prompted: Sequence[PromptedImage], images: range
    ) -> Float[Ndarray, "M 3 h w"] | None:
        """The weights under which descriptors are averaged; None where nothing was excluded."""
        if not any(each.marked.excluded.any() for each in prompted):
            return None
        grid = self._programs.coarsest(self._variables)[:2]
        return self._padded(list(prompting.region_weights(prompted, images, *grid)))

    def _prompted(
        self,
        context: GroupContext,
        fused: Any,
        statistics: Any,
        prompted: Sequence[PromptedImage],
    ) -> GroupContext:
        """The first iteration's context as prompts condition it."""
        if not prompted:
            return context
        context = self._reaggregated(context, statistics, prompted, first=True)
        if fused is None:
            return context
        images, grid = range(fused.shape[1]), fused.shape[2:4]
        shown, excluded, _ = np.moveaxis(
            prompting.region_weights(prompted, images, *grid), 1, 0
        )  # [N, h, w] each
        values = prompted_prior(fused[0], context.prior.values[0], shown, excluded)
        return context._replace(prior=context.prior._replace(values=values[None]))

    def _reaggregated(
        self,
        context: GroupContext,
        statistics: Any,
        prompted: Sequence[PromptedImage],
        *,
        first: bool,
    ) -> GroupContext:
        """The context with gamma of the images that count, all of them without prompts."""
        if prompted and statistics is not None:
            count = len(jax.tree.leaves(statistics)[0][0])
            counted = prompting.counted_images(prompted, count, first=first)
            statistics = jax.tree.map(lambda x: x[:, counted], statistics)
        return self._programs.reaggregate(self._variables, context, statistics)


def _of_images(context: GroupContext, places: Sequence[int]) -> GroupContext:
    values = np.asarray(context.prior.values)[:, list(places)]
    return context._replace(prior=context.prior._replace(values=values))


def _filled(value: float, *shape: int) -> Any:
    return np.full(shape, value, np.float32)
