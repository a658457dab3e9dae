"""A training aid beyond the paper: the backbone's cells say which categories lie in them.

The paper's backbone knows objects from ImageNet. One that starts from nothing has to learn them
from the label of a group, one for every N photographs; naming the category of every cell, at all
four levels, teaches it far sooner. The masks that training has anyway are the labels. Neither
the modulators nor the head see these logits, and prediction does without them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, UInt8

from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.layers import PointwiseConv, resize
from cosseg_jax.types import FeatureMaps, Ndarray


class CategoryHead(nn.Module):
    """From coarse to fine, logits of "none" and of every category: each level adds to the coarser.

    categories: L.
    """

    categories: int

    @nn.compact
    def __call__(self, maps: FeatureMaps) -> tuple[Float[Array, "M _ _ _"], ...]:
        logits: list[Array] = []
        for stride, level in reversed(list(zip(STRIDES, maps, strict=True))):
            found = PointwiseConv(1 + self.categories, name=f"classify_{stride}")(level)
            found = found.astype(jnp.float32)
            logits.append(found + resize(logits[-1], *level.shape[1:3]) if logits else found)
        return tuple(reversed(logits))


def category_loss(
    logits: tuple[Float[Array, "B N _ _ _"], ...],
    category_maps: UInt8[Array | Ndarray, "B N H W"],
    valid: Bool[Array | Ndarray, "B N H W"],
) -> Float[Array, ""]:
    """Softmax cross-entropy with the share of each cell that "none" and each category cover.

    The mean over cells, then over levels; the void share of a cell asks for nothing.
    """
    labels = logits[0].shape[-1]
    shares = jax.nn.one_hot(category_maps, labels) * valid[..., None]  # [B, N, H, W, 1+L]
    shares = shares.reshape(-1, *shares.shape[2:])  # [B*N, H, W, 1+L]
    losses = []
    for level in logits:
        level = level.reshape(-1, *level.shape[2:])  # [B*N, h, w, 1+L]
        shares = resize(shares, *level.shape[1:3])  # from the level before, which is finer
        losses.append(jnp.mean(optax.softmax_cross_entropy(level, shares)))
    return jnp.mean(jnp.stack(losses))
