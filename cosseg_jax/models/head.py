"""The segmentation sub-net f_seg: modulation and an FPN-like decoder (sections 3.1 and 3.4)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.layers import PointwiseConv, convolved_3x3, resize
from cosseg_jax.types import FeatureMaps


def modulate(
    x: Float[Array, "B N h w d"], gamma: Float[Array, "B d"], prior: Float[Array, "B N h2 w2"]
) -> Float[Array, "B N h w d"]:
    """Eq. 5, Y = gamma X + S: gamma at every position, S (resized to h x w) on every channel."""
    groups, images, height, width, _ = x.shape
    flat = prior.reshape(groups * images, *prior.shape[2:], 1)  # [B*N, h2, w2, 1]
    shift = resize(flat, height, width).reshape(groups, images, height, width, 1)
    return gamma.astype(x.dtype)[:, None, None, None, :] * x + shift.astype(x.dtype)


class SegmentationHead(nn.Module):
    """Turns modulated maps of four resolutions into one logit per pixel.

    `project` applies a lateral 1x1 convolution to each level; its result depends on the image alone
    and can be kept. A call modulates each level, adds the coarser level (convolved, upsampled) and
    convolves the sum with weights of its own; the finest level ends in a 1x1 convolution and
    bilinear upsampling to the size of the input.

    features: d.
    """

    features: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.laterals = [self._pointwise(self.features, f"lateral_{stride}") for stride in STRIDES]
        self.convs = [
            nn.Conv(
                self.features,
                (3, 3),
                dtype=self.dtype,
                conv_general_dilated=convolved_3x3,
                name=f"conv_{stride}",
            )
            for stride in STRIDES
        ]
        self.predict = self._pointwise(1, "predict")

    def _pointwise(self, channels: int, name: str) -> PointwiseConv:
        return PointwiseConv(channels, dtype=self.dtype, name=name)

    def project(self, maps: FeatureMaps) -> FeatureMaps:
        """The lateral maps, with d channels each, of images with maps [M, h, w, C]."""
        return FeatureMaps(*(conv(level) for conv, level in zip(self.laterals, maps, strict=True)))

    def __call__(
        self,
        laterals: FeatureMaps,
        gamma: Float[Array, "B d"],
        prior: Float[Array, "B N h w"],
        size: tuple[int, int],
    ) -> Float[Array, "B N H W"]:
        """Logits at (height, width) = `size`, from lateral maps [B*N, h, w, d]."""
        groups, images = prior.shape[:2]
        top = None
        for level, conv in reversed(list(zip(laterals, self.convs, strict=True))):
            x = jnp.asarray(level).reshape(groups, images, *level.shape[1:])  # [B, N, h, w, d]
            y = modulate(x, gamma, prior)
            y = y.reshape(groups * images, *y.shape[2:])  # [B*N, h, w, d]
            if top is not None:
                y = y + resize(top, *y.shape[1:3])
            top = nn.relu(conv(y))
        assert top is not None
        logits = resize(self.predict(top).astype(jnp.float32), *size)  # [B*N, H, W, 1]
        return logits.reshape(groups, images, *size)
