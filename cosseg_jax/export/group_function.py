"""The function that is exported: a whole group's photographs to all that is said of them."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8
from ml_collections import ConfigDict

from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.forward import prediction_options
from cosseg_jax.predict.predictor import SUREST

OUTPUTS = ("probabilities", "prior", "presence", "categories")

GroupFunction = Callable[[UInt8[Array, "N S S 3"]], dict[str, Array]]


def with_solver(config: ConfigDict, solver: str) -> ConfigDict:
    """A copy of a config whose spatial modulator uses another eigen-solver; same vector, same S."""
    config = copy.deepcopy(config)
    with config.unlocked():
        config.model.spatial.solver = solver
    return config


def group_function(config: ConfigDict, variables: Mapping[str, Any]) -> GroupFunction:
    """What the predictor computes of a group, as one function of its photographs alone.

    It takes RGB photographs, uint8 [N, S, S, 3], squeezed to S = `prediction.image_size` pixels a
    side, and gives by name, in float32:

        probabilities  [N, S, S]   of the shared object, 0..1
        prior          [N, h, w]   S, the spatial prior
        presence       [N]         how probable it is that the object is there at all, 0..1
        categories     [L]         how probable it is that the group shares each category, 0..1

    Where the config says `prediction.mirror`, mirror images are heard as well. Refinement, which
    wants photographs at their own size, is left to the caller.
    """
    network = from_config(config.model, len(config.categories))
    mirror = prediction_options(config).mirror

    def predict(images: Array) -> tuple[Float[Array, "N S S"], Array, Array]:
        found: Any = network.apply(variables, images[None], train=False)
        maps = jax.nn.sigmoid(found.mask_logits[0])  # [N, S, S]
        return maps, found.prior.values[0], jax.nn.sigmoid(found.class_logits[0])

    def group(images: UInt8[Array, "N S S 3"]) -> dict[str, Array]:
        maps, prior, categories = predict(images)
        if mirror:
            mirrored = predict(jnp.flip(images, axis=2))[0]
            maps = (maps + jnp.flip(mirrored, axis=2)) / 2
        presence = presence_of_maps(maps)
        return dict(zip(OUTPUTS, (maps, prior, presence, categories), strict=True))

    return group


def presence_of_maps(maps: Float[Array, "N S S"]) -> Float[Array, " N"]:
    """As `predictor.presence_of`, of each map."""
    pixels = maps.shape[1] * maps.shape[2]
    surest = jax.lax.top_k(maps.reshape(-1, pixels), max(1, round(SUREST * pixels)))[0]
    return jnp.mean(surest, axis=1)
