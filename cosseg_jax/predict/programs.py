"""The steps of a network as compiled programs, and all of them as one function for export."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.ssnm import SSNM, description_of
from cosseg_jax.models.traces import TracedFunction, kept_shapes
from cosseg_jax.types import FeatureMaps, GroupPrediction, ImageEncoding, Ndarray

PRESENCE_SHARE = 0.01  # of the pixels, the most probable ones, whose mean is the presence


class Programs:
    """The compiled steps of a network; networks that differ in their variables share them.

    Encodings are kept image by image. So `encode` gives, and the steps after it take, a tuple of
    one encoding an image, which they stack themselves.
    """

    def __init__(self, network: SSNM, image_size: int):
        self.network, self.size = network, (image_size, image_size)
        self.encode = self._traced(self._encode)
        self.pool = self._traced(self._pool)
        self.aggregate = self._traced(self._aggregate)
        self.mask_pool = self._traced(self._mask_pool)
        self.reaggregate = self._traced(self._reaggregate)
        self.probabilities = self._traced(self._probabilities)
        self.presence = self._traced(presence_of)

    def coarsest(self, variables: Any) -> tuple[int, int, int]:
        """Height and width of the coarsest map, in cells, and its channels."""

        def maps() -> dict[str, Any]:
            images = jnp.zeros((1, *self.size, 3), jnp.uint8)
            found: Any = self.network.apply(variables, images, train=False, method="encode")
            return {"coarsest": found.stride32}

        return kept_shapes(maps, self._described("coarsest"))["coarsest"].shape[1:]

    def _traced(self, step: Callable[..., Any]) -> TracedFunction:
        return TracedFunction(step, self._described(step.__name__))

    def _described(self, step: str) -> str | None:
        network = description_of(self.network)
        return network and f"{step} {self.size} {network}"

    def _encode(self, variables: Any, inputs: Any) -> tuple[ImageEncoding, ...]:
        found = encoded(self.network, variables, inputs)
        count = len(jax.tree.leaves(found)[0])
        return tuple(jax.tree.map(lambda x, place=place: x[place], found) for place in range(count))

    def _pool(self, variables: Any, encodings: Any, weights: Any) -> Any:
        """The fused maps, stacked, and the statistics."""
        encoding = stacked(encodings)
        return encoding.fused, self.network.apply(variables, encoding, weights, method="pool")

    def _aggregate(self, variables: Any, fused: Any, statistics: Any, places: Any) -> Any:
        """The context of a group; places: [N], the positions of its images, to count them."""
        images = len(places)
        return self.network.apply(variables, fused, statistics, 1, images, method="aggregate")

    def _mask_pool(self, variables: Any, encodings: Any, context: Any, weights: Any) -> Any:
        encoding = stacked(encodings)
        logits = self._logits(variables, encoding, context)
        return self.network.apply(variables, encoding, logits, weights, method="mask_pool")

    def _reaggregate(self, variables: Any, context: Any, statistics: Any) -> Any:
        return self.network.apply(variables, context, statistics, method="reaggregate")

    def _probabilities(self, variables: Any, encodings: Any, context: Any) -> Float[Array, "M S S"]:
        return jax.nn.sigmoid(self._logits(variables, stacked(encodings), context)[0])

    def _logits(self, variables: Any, encoding: Any, context: Any) -> Any:
        return self.network.apply(variables, encoding, context, self.size, method="segment")


@functools.lru_cache(maxsize=8)
def programs_of(network: Any, image_size: int) -> Programs:
    """The programs of a network; equal networks share what is compiled."""
    return Programs(network, image_size)


def encoded(network: SSNM, variables: Any, inputs: Any) -> ImageEncoding:
    """The encodings of uint8 RGB images [M, S, S, 3], or of FeatureMaps [M, h, w, C]."""
    if not isinstance(inputs, FeatureMaps):
        inputs = network.apply(variables, inputs, train=False, method="encode")
    return network.apply(variables, inputs, method="project")  # type: ignore[return-value]


def stacked(encodings: Sequence[ImageEncoding]) -> ImageEncoding:
    """The encodings of M images as one."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *encodings)


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
