"""Convolutions with batch normalisation in evaluation behind them, of which TinyViT is made.

On CPU XLA is slow at convolutions of single channels and of 1x1. Both are written out as what they
are: a sum of shifted maps (5 times faster) and a matrix product (2.6 times, where it narrows).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def batch_norm(x: Float[Array, "B h w C"], dtype: Any) -> Float[Array, "B h w C"]:
    """By the running statistics: the encoder is not trained here. Belongs to the calling module."""
    return nn.BatchNorm(use_running_average=True, epsilon=1e-5, dtype=dtype, name="bn")(x)


class ConvBN(nn.Module):
    """A convolution without bias, padded by half its size.

    features: output channels.
    size: side of the kernel.
    stride: of both axes.
    """

    features: int
    size: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h2 w2 F"]:
        conv = nn.Conv(
            self.features,
            (self.size, self.size),
            strides=self.stride,
            padding=self.size // 2,
            use_bias=False,
            dtype=self.dtype,
            conv_general_dilated=_product if self.size == 1 else jax.lax.conv_general_dilated,
            name="c",
        )
        return batch_norm(conv(x), self.dtype)


class DepthwiseBN(nn.Module):
    """A 3x3 filter for each channel; columns are padded by one, rows are not.

    stride: of both axes.
    """

    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h2 w2 C"]:
        x = nn.Conv(
            x.shape[-1],
            (3, 3),
            strides=self.stride,
            padding=((0, 0), (1, 1)),
            feature_group_count=x.shape[-1],
            use_bias=False,
            dtype=self.dtype,
            conv_general_dilated=_by_shifts,
            name="c",
        )(x)
        return batch_norm(x, self.dtype)


def _product(x: jax.Array, kernel: jax.Array, *_: Any, **__: Any) -> jax.Array:
    """What `nn.Conv` takes as `conv_general_dilated`, for 1x1 and stride 1."""
    return jnp.matmul(x, kernel[0, 0])


def _by_shifts(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **_: Any) -> jax.Array:
    """Likewise, for filters of single channels: shifted maps, weighted and summed."""
    stride = strides[0]
    # Without a barrier XLA computes the activation in front of it anew for every entry.
    x = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), *padding, (0, 0))))
    batch, height, width, channels = x.shape
    down, across = kernel.shape[:2]

    def entry(top: int, left: int) -> jax.Array:
        last = (batch, height - down + 1 + top, width - across + 1 + left, channels)
        seen = jax.lax.slice(x, (0, top, left, 0), last, (1, stride, stride, 1))
        return seen * kernel[top, left][None, None]  # [B, h2, w2, C]

    entries = [(top, left) for top in range(down) for left in range(across)]
    return sum((entry(*at) for at in entries[1:]), start=entry(*entries[0]))
