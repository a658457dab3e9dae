"""A group's photographs through a network in chunks of a fixed size, however many there are.

The modulators look at the whole group, everything else at photographs one by one. So photographs
stream through the network first to be described, then, when all descriptions have been related to
each other, to be segmented; with a network of several rounds they are described and related again
by where its masks lie. What is kept of each photograph is small, but for the backbone's maps of
those seen last: a mark in one of them, or a group that is asked for again, costs no second look.
"""

import collections
import functools
import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.prompts import coverage
from cosseg_jax.models.spatial import prompted_prior
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.types import (
    FeatureMaps,
    GroupContext,
    ImageDescriptors,
    Ndarray,
    PooledStatistics,
    SpatialPrior,
)

KEPT_MAPS = 28  # photographs whose maps are kept, of groups not larger: some 18 MB each at 384

Images = UInt8[Ndarray, "N S S 3"]
Weights = Float[Ndarray, "M h w"] | None
Call = Callable[..., Any]


class Mark(NamedTuple):
    """A photograph's place in the group, and its marked pixels."""

    photo: int
    marked: Bool[Ndarray, "H W"]


class Stream:
    """A network with its variables; called with a group, gives probabilities and the relation.

    size: S, the side of the photographs in pixels.
    """

    def __init__(self, network: SSNM, variables: Mapping[str, Any], size: int):
        self._network, self._size = network, size
        self._variables = jax.device_put(dict(variables))
        self._kept = _KeptMaps()

    @property
    def passes(self) -> int:
        """How often each photograph is reported: described, described again, segmented."""
        return 1 + self._network.num_iterations

    def __call__(
        self, images: Images, mark: Mark | None, chunk: int, report: Callable[[int], None]
    ) -> tuple[Float[Ndarray, "N S S"], GroupContext]:
        """Segments one group.

        Args:
            images: resized to S x S pixels.
            mark: the object in one of them, or None.
            chunk: how many the network sees at once; changes no result beyond rounding.
            report: called with the number of photographs that went through, `passes` times each.
        """
        chunks = _Chunks(images, chunk, self._encode, self._kept, report)
        weights = [_weights(mark, part, chunk, self._grid) for part in range(len(chunks))]
        whole: ImageDescriptors = chunks.each(
            lambda part, maps: self._describe(self._variables, maps, weights[part])
        )
        context = jax.device_get(self._aggregate(self._variables, whole, len(images)))
        if mark is not None:
            context = _guided(context, whole, mark)
        for _ in range(1, self._network.num_iterations):
            parts = _by_chunk(context, chunk, len(chunks))
            heard: PooledStatistics = chunks.each(
                lambda part, maps, parts=parts: self._mask_pool(
                    self._variables,
                    maps,
                    self._segment(self._variables, maps, parts[part]),
                    weights[part],
                )
            )
            context = jax.device_get(self._reaggregate(self._variables, context, heard))
        parts = _by_chunk(context, chunk, len(chunks))
        found = chunks.each(
            lambda part, maps: jax.nn.sigmoid(self._segment(self._variables, maps, parts[part])[0])
        )  # [1, N, S, S]
        return found[0], context

    @functools.cached_property
    def _grid(self) -> tuple[int, int]:
        """The cells of the coarsest map, height and width."""
        like = jax.ShapeDtypeStruct((1, self._size, self._size, 3), jnp.uint8)
        maps: FeatureMaps = jax.eval_shape(self._compiled_encode, self._variables, like)
        height, width = maps.stride32.shape[1:3]
        return height, width

    def _encode(self, images: Images) -> FeatureMaps:
        return self._compiled_encode(self._variables, images)

    @functools.cached_property
    def _compiled_encode(self) -> Call:
        return jax.jit(functools.partial(self._network.apply, train=False, method="encode"))

    @functools.cached_property
    def _describe(self) -> Call:
        return jax.jit(functools.partial(self._network.apply, method="describe"))

    @functools.cached_property
    def _aggregate(self) -> Call:
        def aggregate(variables: Any, description: ImageDescriptors, photos: int) -> Any:
            return self._network.apply(variables, description, 1, photos, method="aggregate")

        return jax.jit(aggregate, static_argnums=2)

    @functools.cached_property
    def _reaggregate(self) -> Call:
        return jax.jit(functools.partial(self._network.apply, method="reaggregate"))

    @functools.cached_property
    def _mask_pool(self) -> Call:
        return jax.jit(functools.partial(self._network.apply, method="mask_pool"))

    @functools.cached_property
    def _segment(self) -> Call:
        def segment(variables: Any, maps: FeatureMaps, context: GroupContext) -> jax.Array:
            maps = jax.tree.map(lambda x: x[None], maps)  # [1, M, h, w, C]
            size = (self._size, self._size)
            logits: Any = self._network.apply(variables, maps, context, size, method="segment")
            return logits  # [1, M, S, S]

        return jax.jit(segment)


class _Chunks:
    """A group in chunks of one size, the last one filled up: the network is compiled once."""

    def __init__(
        self,
        images: Images,
        size: int,
        encode: Callable[[Images], FeatureMaps],
        kept: "_KeptMaps",
        report: Callable[[int], None],
    ):
        self._size, self._encode, self._report = size, encode, report
        self._chunks = [images[first : first + size] for first in range(0, len(images), size)]
        self._kept = kept if len(images) <= KEPT_MAPS else None

    def __len__(self) -> int:
        return len(self._chunks)

    def each(self, compute: Callable[[int, FeatureMaps], Any]) -> Any:
        """What is computed of every chunk, from its number and maps [M, h, w, C].

        Trees of [M, ...] are joined to one of [1, N, ...] on the host, without what fills up.
        """
        parts = []
        for part, images in enumerate(self._chunks):
            used = len(images)
            tree = compute(part, self._maps(part))
            parts.append(jax.tree.map(lambda x, used=used: np.asarray(x[:used]), tree))
            self._report(used)
        return jax.tree.map(lambda *x: np.concatenate(x)[None], *parts)

    def _maps(self, part: int) -> FeatureMaps:
        """A chunk's maps, kept for the next time if the group is not large."""
        images = self._chunks[part]
        if self._kept is None:
            return self._encoded(images)
        key = self._size, hashlib.blake2b(images.tobytes()).digest()
        maps = self._kept.get(key)
        if maps is None:
            maps = self._encoded(images)
            self._kept.put(key, maps)
        return maps

    def _encoded(self, images: Images) -> FeatureMaps:
        missing = self._size - len(images)
        return self._encode(np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))))


class _KeptMaps:
    """The maps of the chunks used last; a key is a chunk's size and the digest of its pixels."""

    def __init__(self) -> None:
        self._maps: collections.OrderedDict[tuple[int, bytes], FeatureMaps] = (
            collections.OrderedDict()
        )
        self._lock = threading.Lock()  # a predictor may be called from several threads

    def get(self, key: tuple[int, bytes]) -> FeatureMaps | None:
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
            return self._maps.get(key)

    def put(self, key: tuple[int, bytes], maps: FeatureMaps) -> None:
        """Keeps a chunk's maps; the oldest go where KEPT_MAPS photographs remain."""
        with self._lock:
            self._maps[key] = maps
            while sum(size for size, _ in self._maps) - next(iter(self._maps))[0] >= KEPT_MAPS:
                self._maps.popitem(last=False)


def _weights(mark: Mark | None, part: int, chunk: int, grid: tuple[int, int]) -> Weights:
    """Of the cells of a chunk's photographs, by what is marked; None where nothing is."""
    if mark is None or mark.photo // chunk != part:
        return None
    height, width = grid
    weights = np.full((chunk, height, width), 1 / (height * width), np.float32)
    weights[mark.photo % chunk] = coverage(mark.marked, height, width)
    return weights


def _guided(context: GroupContext, whole: ImageDescriptors, mark: Mark) -> GroupContext:
    """The relation with its spatial prior drawn towards the marked object."""
    if whole.fused is None:
        return context
    fused = whole.fused[0]  # [N, h, w, d]
    weights = coverage(mark.marked, *fused.shape[1:3])
    indicator = prompted_prior(fused, context.prior.indicator[0], mark.photo, weights)
    return context._replace(prior=context.prior._replace(indicator=np.asarray(indicator)[None]))


def _by_chunk(context: GroupContext, chunk: int, chunks: int) -> list[GroupContext]:
    """The relation with S of one chunk's photographs only, for each; zero beyond the last one."""
    indicator = context.prior.indicator
    missing = chunk * chunks - indicator.shape[1]
    indicator = np.pad(indicator, ((0, 0), (0, missing), (0, 0), (0, 0)))
    loss = context.prior.loss
    return [
        context._replace(prior=SpatialPrior(jnp.asarray(part), loss))
        for part in np.split(indicator, chunks, axis=1)
    ]
