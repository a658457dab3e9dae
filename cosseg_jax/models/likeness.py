"""Masks of a group that reach to all cells which resemble what they cover already.

A head that was trained on few categories often marks a part of an object, or the object in some of
a group's images only. The descriptors of the cells that it marks say how the object looks. The mean
over the group, a prototype, is compared with every cell, and cells that resemble it are raised.
Nothing here is trained.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.spatial import SMALL, centred_directions, unit_rows
from cosseg_jax.types import Ndarray

WEIGHT = 12.0  # logits per unit of cosine with the prototype
OFFSET = -0.5  # logits of a cell at right angles to the prototype
ROUNDS = 2


def with_likeness(
    logits: Float[Array, "B N h w"],
    descriptors: Float[Array | Ndarray, "B N h w C"],
    shown: Float[Array | Ndarray, "B N h w"],
) -> Float[Array, "B N h w"]:
    """The logits with what likeness adds to them; unchanged for groups in which nothing is marked.

    descriptors: a backbone's map of each image; its mean over the group is taken off.
    shown: weights of the cells that prompts show; 0 in images without. They stand for the mask of
        their image, and at first for those of the whole group.
    """
    x = centred_directions(jnp.asarray(descriptors, jnp.float32))
    shown = jnp.asarray(shown)
    prompted = jnp.any(shown > 0, axis=(2, 3), keepdims=True)
    awaited = jnp.any(prompted, axis=1, keepdims=True)  # groups that begin with what is shown
    found = logits
    for number in range(ROUNDS):
        masks = nn.sigmoid(found)
        marked = jnp.where((masks > 0.5) & ~(awaited & (number == 0)), masks, 0)
        found = logits + _evidence(jnp.where(prompted, shown, marked), x)
    return found


def _evidence(
    marked: Float[Array, "B N h w"], x: Float[Array, "B N h w C"]
) -> Float[Array, "B N h w"]:
    """What the cells' likeness to the marked ones adds; each image has the same say."""
    area = jnp.sum(marked, axis=(2, 3), keepdims=True)
    shares = marked / jnp.maximum(area, SMALL)
    prototype = unit_rows(jnp.einsum("bnhw,bnhwc->bc", shares, x), SMALL)
    evidence = WEIGHT * jnp.einsum("bnhwc,bc->bnhw", x, prototype) + OFFSET
    return jnp.where(jnp.any(area > 0, axis=1, keepdims=True), evidence, jnp.zeros(()))
