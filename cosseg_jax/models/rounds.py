"""Further rounds, beyond the paper: gamma again, from where the masks of the round before lie.

The paper's gamma hears every position of a photograph alike, most of which show something else than
the object. A round's masks tell where to listen in the next one. Nothing in it is trained.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.fusion import resize
from cosseg_jax.types import Ndarray

FLOOR = 0.01  # added to a cell's probability: where nothing was found all cells count alike


def attended(
    probabilities: Float[Array | Ndarray, "M H W"],
    weights: Float[Array | Ndarray, "M h w"] | None,
    height: int,
    width: int,
    *,
    share: float,
) -> Float[Array, "M h w"]:
    """Weights of the coarsest map's cells for the next round: partly by the masks, else as before.

    Args:
        probabilities: of the foreground, 0..1.
        weights: those of the first round, of sum 1, such as a user's mark, beyond which no later
            round listens; by default equal.
        height, width: h and w.
        share: of a photograph's weights, how much lies by the masks: 0 as before .. 1.
    """
    cells = resize(jnp.asarray(probabilities)[..., None], height, width)[..., 0]  # [M, h, w]
    before = 1 / (height * width) if weights is None else jnp.asarray(weights)
    cells = (jnp.maximum(cells, 0.0) + FLOOR) * before
    found = cells / jnp.sum(cells, axis=(1, 2), keepdims=True)
    return share * found + (1 - share) * before
