"""The segmentation sub-net f_seg: modulation and an FPN-like decoder (sections 3.1 and 3.4)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.fusion import STRIDES, resize
from cosseg_jax.models.layers import PointwiseConv, convolved_3x3
from cosseg_jax.types import FeatureMaps


def modulate(
    x: Float[Array, "B N h w d"], gamma: Float[Array, "B d"], indicator: Float[Array, "B N h2 w2"]
) -> Float[Array, "B N h w d"]:
    """Eq. 5, Y = gamma X + S: gamma on every position, S (resized to h x w) on every channel."""
    groups, photos, height, width, _ = x.shape
    flat = indicator.reshape(groups * photos, *indicator.shape[2:], 1)  # [B*N, h2, w2, 1]
    shift = resize(flat, height, width).reshape(groups, photos, height, width, 1)
    return gamma.astype(x.dtype)[:, None, None, None, :] * x + shift.astype(x.dtype)


class SegmentationHead(nn.Module):
    """Modulated maps of four resolutions to one logit a pixel.

    Each level has a lateral 1x1 convolution to d channels, is modulated, takes in the coarser level
    (convolved, upsampled) by addition, and goes through a convolution of its own; the finest ends
    in a 1x1 convolution and bilinear upsampling to the input's size.

    features: d.
    """

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        maps: FeatureMaps,
        gamma: Float[Array, "B d"],
        indicator: Float[Array, "B N h w"],
        size: tuple[int, int],
    ) -> Float[Array, "B N H W"]:
        """Logits at (height, width) = `size`, that of the network's input."""
        groups, photos = indicator.shape[:2]
        top = None
        for stride, level in reversed(list(zip(STRIDES, maps, strict=True))):
            x = PointwiseConv(self.features, dtype=self.dtype, name=f"lateral_{stride}")(level)
            x = x.reshape(groups, photos, *x.shape[1:])  # [B, N, h, w, d]
            y = modulate(x, gamma, indicator)
            y = y.reshape(groups * photos, *y.shape[2:])  # [B*N, h, w, d]
            if top is not None:
                y = y + resize(top, *y.shape[1:3])
            conv = nn.Conv(
                self.features,
                (3, 3),
                dtype=self.dtype,
                conv_general_dilated=convolved_3x3,
                name=f"conv_{stride}",
            )
            top = nn.relu(conv(y))
        assert top is not None
        logits = PointwiseConv(1, dtype=self.dtype, name="predict")(top)
        logits = resize(logits.astype(jnp.float32), *size)  # [B*N, H, W, 1]
        return logits.reshape(groups, photos, *size)
