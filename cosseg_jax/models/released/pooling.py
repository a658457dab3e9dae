"""The released network's hierarchical second-order pooling, which depends on the images' order.

The upper level takes the lower level's vectors of the N images, an array [N, c c], as an array
[c c, N] without transposing it. So each of its "channels" holds neighbouring entries of one image
or two, and other orders of the images give another gamma. Neither covariance is centred or divided
by the number of positions.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.eigen import HIGHEST
from cosseg_jax.models.layers import PointwiseConv
from cosseg_jax.types import Ndarray, PooledStatistics, Semantics

LOWER, UPPER = 64, 32  # channels whose products are summed, of an image and of a group


class OrderedPooling(nn.Module):
    """HSP and the class head.

    features: d. categories: L.
    """

    features: int
    categories: int

    def setup(self) -> None:
        self.reduce_image = PointwiseConv(LOWER, name="reduce_image")
        self.reduce_group = PointwiseConv(UPPER, name="reduce_group")
        self.gamma = nn.Dense(self.features, name="gamma")
        self.classify = nn.Dense(self.categories, name="classify")

    def pool(self, x: Float[Array | Ndarray, "M h w d"]) -> PooledStatistics:
        """The sums of channels' products over the positions of each image, [M, c c]."""
        reduced = nn.relu(self.reduce_image(x))  # [M, h, w, c]
        return PooledStatistics(_products(reduced), None)

    def aggregate(self, statistics: Float[Array | Ndarray, "B N C"]) -> Semantics:
        """gamma, 0 or more, and the class logits of groups."""
        stacked = jnp.asarray(statistics)
        groups, images, channels = stacked.shape
        mixed = stacked.reshape(groups, channels, images)  # [B, C, N]
        columns = mixed.transpose(0, 2, 1)[:, :, None]  # [B, N, 1, C]
        pooled = _products(nn.relu(self.reduce_group(columns)))  # [B, c c]
        gamma = nn.relu(self.gamma(pooled))
        return Semantics(gamma, self.classify(gamma))


def _products(x: Float[Array, "M h w c"]) -> Float[Array, "M C"]:
    """The sums over positions of all products of two channels, C = c c."""
    rows = x.reshape(x.shape[0], -1, x.shape[3])  # [M, h*w, c]
    products = jnp.einsum("mpc,mpk->mck", rows, rows, precision=HIGHEST)
    return products.reshape(x.shape[0], -1)  # [M, c*c]
