"""phi(I): fuses all feature maps of a backbone into the map that S is computed from (figure 2)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import UserError
from cosseg_jax.models.layers import PointwiseConv, resize
from cosseg_jax.types import FeatureMaps

STRIDES = (4, 8, 16, 32)


def check_stride(stride: int) -> None:
    """Raises a UserError unless `Fusion` can produce a map of this stride."""
    if stride not in STRIDES[1:]:
        raise UserError(f"model.spatial_stride is {stride}; choose 8, 16 or 32")


class Fusion(nn.Module):
    """From fine to coarse: a 1x1 convolution and downsampling, added to the next level's.

    features: d, channels of the result.
    stride: of the result: 32 (the figure's), 16 or 8. Below 32 the levels that are coarser than the
        result are upsampled and added as well, so that the result depends on every level.
    """

    features: int
    stride: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps: FeatureMaps) -> Float[Array, "M h w d"]:
        check_stride(self.stride)
        target = maps[STRIDES.index(self.stride)]
        fused = None
        for stride, level in zip(STRIDES, maps, strict=True):
            lateral = PointwiseConv(self.features, dtype=self.dtype, name=f"conv_{stride}")(level)
            size = target.shape[1:3] if stride > self.stride else level.shape[1:3]
            lateral = resize(lateral, *size)
            fused = lateral if fused is None else resize(nn.relu(fused), *size) + lateral
        assert fused is not None
        return nn.relu(fused)
