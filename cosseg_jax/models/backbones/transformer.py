"""The block of a vision transformer (Dosovitskiy et al. 2021, figure 1), as DINOv2 and v3 have it.

Every residual is scaled channel by channel (LayerScale, Touvron et al. 2021).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cosseg_jax.types import Ndarray

MLP_RATIO = 4  # hidden channels of the MLP divided by those of a token


class Rotations(NamedTuple):
    """Rotary position embeddings: the angle by which each pair of a head's channels is turned."""

    cos: Float[Ndarray, "T c"]
    sin: Float[Ndarray, "T c"]


def rotations(height: int, width: int, channels: int, base: float = 100.0) -> Rotations:
    """The rotations of a grid's tokens, as DINOv3 has them (Simeoni et al. 2025).

    A quarter of a head's channels has the angles of the rows, the next one those of the columns,
    and the second half repeats them. Coordinates are those of the cells' centres in [-1, 1],
    whatever the size of the grid.
    """
    frequencies = base ** -np.arange(0, 1, 4 / channels)  # [c/4]
    rows, columns = ((2 * np.arange(n) + 1) / n - 1 for n in (height, width))
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)  # [h, w, 2]
    angles = 2 * np.pi * centres[..., None] * frequencies  # [h, w, 2, c/4]
    angles = np.tile(angles.reshape(height * width, -1), 2)  # [T, c]
    return Rotations(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))


def rotated(x: Float[Array, "M T h c"], by: Rotations) -> Float[Array, "M T h c"]:
    """Queries or keys with the last tokens turned, those of patches; the others have no place."""
    prefix = x.shape[1] - by.cos.shape[0]
    patches = x[:, prefix:].astype(jnp.float32)
    first, second = jnp.split(patches, 2, axis=-1)
    turned = jnp.concatenate([-second, first], axis=-1)
    cos, sin = by.cos[None, :, None], by.sin[None, :, None]  # [1, T, 1, c]
    patches = (patches * cos + turned * sin).astype(x.dtype)
    return jnp.concatenate([x[:, :prefix], patches], axis=1)


class SelfAttention(nn.Module):
    """Self-attention of several heads.

    key_bias: whether keys have a bias; queries and values always do.
    """

    heads: int
    key_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "M T C"], by: Rotations | None) -> Float[Array, "M T C"]:
        count, tokens, channels = x.shape

        def in_heads(name: str, use_bias: bool = True) -> jax.Array:
            y = nn.Dense(channels, use_bias=use_bias, dtype=self.dtype, name=name)(x)
            return y.reshape(count, tokens, self.heads, -1)  # [M, T, h, c]

        query, key, value = in_heads("query"), in_heads("key", self.key_bias), in_heads("value")
        if by is not None:
            query, key = rotated(query, by), rotated(key, by)
        found = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
        return nn.Dense(channels, dtype=self.dtype, name="proj")(found)


class TransformerBlock(nn.Module):
    """Attention and an MLP, each on normalised tokens, scaled and added to its input."""

    heads: int
    key_bias: bool = True
    epsilon: float = 1e-6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "M T C"], by: Rotations | None) -> Float[Array, "M T C"]:
        attention = SelfAttention(self.heads, self.key_bias, dtype=self.dtype, name="attention")
        x = x + self._scaled("scale1", attention(self._normalised("norm1", x), by))
        y = self._normalised("norm2", x)
        y = nn.Dense(MLP_RATIO * x.shape[-1], dtype=self.dtype, name="fc1")(y)
        y = nn.gelu(y, approximate=False)
        y = nn.Dense(x.shape[-1], dtype=self.dtype, name="fc2")(y)
        return x + self._scaled("scale2", y)

    def _normalised(self, name: str, x: jax.Array) -> jax.Array:
        return token_norm(self.epsilon, self.dtype, name)(x)

    def _scaled(self, name: str, x: jax.Array) -> jax.Array:
        factors = self.param(name, nn.initializers.ones_init(), (x.shape[-1],), jnp.float32)
        return x * factors.astype(x.dtype)[None, None]


def token_norm(epsilon: float, dtype: Any, name: str) -> nn.LayerNorm:
    """A layer norm whose variance is exact also where a few channels are very large."""
    return nn.LayerNorm(epsilon, use_fast_variance=False, dtype=dtype, name=name)
