"""Attention within square windows (TinyViT, section 3.2; the biases are those of LeViT).

A window that reaches beyond the border is filled up with zeros before it is normalised, and what is
there takes part in the attention: so was the published network trained.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cosseg_jax.models.sam.layers import layer_norm
from cosseg_jax.types import Ndarray


def split_windows(x: Float[Array, "B h w C"], side: int) -> Float[Array, "B n T C"]:
    """Windows of side x side = T cells, row by row, zeros beyond the right and lower borders."""
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, -height % side), (0, -width % side), (0, 0)))
    rows, columns = x.shape[1] // side, x.shape[2] // side
    x = x.reshape(batch, rows, side, columns, side, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # [B, rows, columns, side, side, C]
    return x.reshape(batch, rows * columns, side * side, channels)  # [B, n, T, C]


def join_windows(
    windows: Float[Array, "B n T C"], shape: tuple[Any, ...]
) -> Float[Array, "B h w C"]:
    """The inverse of `split_windows`, for the `shape` that it was given."""
    batch, height, width, channels = shape
    side = round(windows.shape[2] ** 0.5)
    rows, columns = -(-height // side), -(-width // side)
    x = windows.reshape(batch, rows, columns, side, side, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5)  # [B, rows, side, columns, side, C]
    x = x.reshape(batch, rows * side, columns * side, channels)  # [B, padded h, padded w, C]
    return x[:, :height, :width]


class WindowAttention(nn.Module):
    """Multi-head self-attention among a window's cells, with a bias for each offset.

    heads: their widths add up to the input's channels.
    window: the side of a window in cells.
    """

    heads: int
    window: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B n T C"]) -> Float[Array, "B n T C"]:
        channels = x.shape[-1]
        x = layer_norm(dtype=self.dtype, name="norm")(x)
        x = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(x)
        x = x.reshape(*x.shape[:-1], self.heads, -1)  # [B, n, T, heads, 3*d]
        query, key, value = jnp.split(x, 3, axis=-1)  # each [B, n, T, heads, d]
        query = query * query.shape[-1] ** -0.5
        logits = jnp.einsum("bnqhd,bnkhd->bnhqk", query, key)  # [B, n, heads, T, T]
        logits = logits + self._bias()[None, None].astype(self.dtype)
        weights = jax.nn.softmax(logits, axis=-1)
        x = jnp.einsum("bnhqk,bnkhd->bnqhd", weights, value)  # [B, n, T, heads, d]
        x = x.reshape(*x.shape[:-2], channels)  # [B, n, T, C]
        return nn.Dense(channels, dtype=self.dtype, name="proj")(x)

    def _bias(self) -> Float[Array, "heads T T"]:
        """One learnt number a head for each distance down and across."""
        shape = (self.heads, self.window**2)
        biases = self.param("attention_biases", nn.initializers.zeros_init(), shape, jnp.float32)
        return biases[:, offsets(self.window)]


def offsets(side: int) -> Int[Ndarray, "T T"]:
    """For two cells of a window: their distance down times `side`, plus that across."""
    row, column = np.divmod(np.arange(side * side), side)
    down = np.abs(row[:, None] - row[None, :])
    across = np.abs(column[:, None] - column[None, :])
    return down * side + across
