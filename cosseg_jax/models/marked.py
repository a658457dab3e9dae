"""The spatial prior of a group in which a user has marked the object."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.spatial import normalise
from cosseg_jax.types import Ndarray

EPSILON = 1e-6


def marked_prior(
    features: Float[Array | Ndarray, "N h w d"],
    indicator: Float[Array | Ndarray, "N h w"],
    photo: int,
    weights: Float[Array | Ndarray, "h w"],
) -> Float[Array, "N h w"]:
    """S turned and drawn towards what is like the marked region of one photograph.

    The marked descriptors' mean and that of the same photograph's others part the group's unit
    descriptors by which of the two is nearer. The eigenvector, of the sign that agrees with this
    parting, and the parting itself have equal shares; the result has mean square 1 like S.

    Args:
        features: the fused maps of the group.
        indicator: S as the spatial modulator found it.
        photo: the marked photograph.
        weights: of its cells, of sum 1: how much of the mark lies in each.
    """
    x = normalise(jnp.asarray(features).reshape(-1, features.shape[-1]), EPSILON)
    x = x.reshape(features.shape).astype(jnp.float32)  # [N, h, w, d]
    inside = jnp.asarray(weights)
    outside = 1 - inside / jnp.max(inside)
    outside = outside / jnp.maximum(jnp.sum(outside), EPSILON)
    near, far = (jnp.einsum("hw,hwd->d", share, x[photo]) for share in (inside, outside))
    parting = jnp.einsum("nhwd,d->nhw", x, near - far) - (near @ near - far @ far) / 2
    parting = _mean_square_one(parting)
    eigenvector = jnp.asarray(indicator)
    agreement = jnp.sum(eigenvector * parting)
    return _mean_square_one(jnp.where(agreement < 0, -eigenvector, eigenvector) + parting)


def _mean_square_one(x: Float[Array, "N h w"]) -> Float[Array, "N h w"]:
    return x / jnp.sqrt(jnp.mean(x**2) + EPSILON)
