"""A training aid beyond the paper: every cell of the backbone's maps predicts its categories.

The paper's backbone knows objects from ImageNet. One that is trained from scratch has only the
label of each group, one for every N images; predicting the category of every cell, at all four
levels, teaches it far sooner. The labels come from the masks that training uses anyway (the loss is
`train.losses.category_loss`). The modulators and the head do not use these logits, and prediction
does not compute them.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.layers import PointwiseConv, resize
from cosseg_jax.types import FeatureMaps


class CategoryHead(nn.Module):
    """Logits of "none" and of every category at each level, added to those of the coarser level.

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
