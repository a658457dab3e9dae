"""The released network's spatial modulator: eq. 10 by 200 steps of Adam for each group.

It minimises -s'Gs + 50 p(|s|), where p = -log |s| inside the unit sphere and -log(2 - |s|) outside
keeps s near that sphere. It starts at the constant unit vector and stops after 200 steps, wherever
it is then. Features without clear clusters leave it far from the eigenvector that
`models.spatial` computes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.eigen import HIGHEST, matmul
from cosseg_jax.types import SpatialPrior

STEPS = 200
LEARNING_RATE = 0.01
DECAY_MEAN, DECAY_SQUARE, EPSILON = 0.9, 0.999, 1e-8  # of Adam
PENALTY = 50.0


class _Adam(NamedTuple):
    s: Float[Array, " n"]
    mean: Float[Array, " n"]
    square: Float[Array, " n"]


def spatial_step(features: Float[Array, "B N h w d"]) -> SpatialPrior:
    """S of each group, of a length near 1, and the spatial loss, as `models.spatial` defines it."""
    return jax.vmap(_group_prior)(features.astype(jnp.float32))


def _group_prior(features: Float[Array, "N h w d"]) -> SpatialPrior:
    *grid, d = features.shape
    x = _unit_rows(features.reshape(-1, d))  # [n, d]
    gram = matmul(x, x.T) - 1  # [n, n]
    s = _descend(gram)
    return SpatialPrior(s.reshape(grid), -_energy(gram, s) / x.shape[0])


def _descend(gram: Float[Array, "n n"]) -> Float[Array, " n"]:
    n = gram.shape[0]
    start = jnp.full(n, n**-0.5)

    def step(number: Array, state: _Adam) -> _Adam:
        return _updated(state, _gradient(gram, state.s, number == 0), number + 1.0)

    return jax.lax.fori_loop(0, STEPS, step, _Adam(start, 0 * start, 0 * start)).s


def _gradient(gram: Float[Array, "n n"], s: Float[Array, " n"], first: Array) -> Float[Array, " n"]:
    """The gradient of the objective. On the sphere, where the first step is, s counts as outside.

    Rounding decides at the start elsewhere; PyTorch's sum of 245 equal squares is exactly 1.
    """
    length = jnp.linalg.norm(s)
    outside = first | (length >= 1)
    slope = jnp.where(outside, 1 / (2 - length), -1 / length)
    return PENALTY * slope * s / length - 2 * _product(gram, s)


def _updated(state: _Adam, gradient: Float[Array, " n"], number: Array) -> _Adam:
    """The state after step `number`, from 1."""
    mean = DECAY_MEAN * state.mean + (1 - DECAY_MEAN) * gradient
    square = DECAY_SQUARE * state.square + (1 - DECAY_SQUARE) * gradient**2
    unbiased = mean / (1 - DECAY_MEAN**number)
    root = jnp.sqrt(square / (1 - DECAY_SQUARE**number))
    return _Adam(state.s - LEARNING_RATE * unbiased / (root + EPSILON), mean, square)


def _energy(gram: Float[Array, "n n"], s: Float[Array, " n"]) -> Float[Array, ""]:
    return jnp.sum(s * _product(gram, s))


def _product(gram: Float[Array, "n n"], s: Float[Array, " n"]) -> Float[Array, " n"]:
    return jnp.matmul(gram, s, precision=HIGHEST)


def _unit_rows(x: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows at length 1. A zero row, of which the released code makes NaN, stays zero."""
    length = jnp.linalg.norm(x, axis=1, keepdims=True)
    return x / jnp.where(length > 0, length, 1)
