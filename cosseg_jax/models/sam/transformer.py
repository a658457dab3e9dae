"""The two-way transformer of SAM's mask decoder (Kirillov et al. 2023, appendix A, figure 14).

Tokens (of the outputs and of the prompt) and the image's cells attend to each other in turn.
Arrays of the image may have a 1 where those of the tokens have a number of prompts: what is
the same for all prompts of an image is then computed once.

Submodules carry the names of the published file, with `_` for the dot in front of a number.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from cosseg_jax.models.sam.layers import layer_norm


class Attention(nn.Module):
    """Multi-head attention with projections of queries, keys, values and result.

    heads: divides `width`.
    width: channels of all heads together.
    """

    heads: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        query: Float[Array, "*#M Q C"],
        key: Float[Array, "*#M K C"],
        value: Float[Array, "*#M K C"],
        present: Bool[Array, "*#M K"] | None = None,
    ) -> Float[Array, "*#M Q C"]:
        """What the queries gather; keys that are not `present` weigh nothing."""
        query = self._heads("q_proj", query)  # [*M, Q, heads, d]
        key = self._heads("k_proj", key)  # [*M, K, heads, d]
        value_heads = self._heads("v_proj", value)  # [*M, K, heads, d]
        query = query * query.shape[-1] ** -0.5
        logits = jnp.einsum("...qhd,...khd->...hqk", query, key)  # [*M, heads, Q, K]
        if present is not None:
            logits = jnp.where(present[..., None, None, :], logits, -jnp.inf)
        weights = jax.nn.softmax(logits, axis=-1)
        x = jnp.einsum("...hqk,...khd->...qhd", weights, value_heads)  # [*M, Q, heads, d]
        x = x.reshape(*x.shape[:-2], self.width)  # [*M, Q, width]
        return nn.Dense(value.shape[-1], dtype=self.dtype, name="out_proj")(x)

    def _heads(self, name: str, x: jax.Array) -> jax.Array:
        x = nn.Dense(self.width, dtype=self.dtype, name=name)(x)
        return x.reshape(*x.shape[:-1], self.heads, -1)  # [*M, T, heads, d]


class MLPBlock(nn.Module):
    """Widen, ReLU, narrow."""

    inner: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*M T C"]) -> Float[Array, "*M T C"]:
        y = nn.relu(nn.Dense(self.inner, dtype=self.dtype, name="lin1")(x))
        return nn.Dense(x.shape[-1], dtype=self.dtype, name="lin2")(y)


class TwoWayBlock(nn.Module):
    """Tokens among themselves, tokens to image, MLP on tokens, image to tokens.

    first: the tokens are still the prompt itself; their attention among themselves then neither
        adds positions nor keeps its input.
    """

    heads: int
    mlp_width: int
    first: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "*#M T C"],
        image: Float[Array, "*#M P C"],
        prompt: Float[Array, "*#M T C"],
        positions: Float[Array, "*#M P C"],
        present: Bool[Array, "*#M T"] | None,
    ) -> tuple[Float[Array, "*#M T C"], Float[Array, "*#M P C"]]:
        width = tokens.shape[-1]
        attention = functools.partial(Attention, self.heads, dtype=self.dtype)
        norm = functools.partial(layer_norm, dtype=self.dtype)

        inside = attention(width, name="self_attn")
        if self.first:
            tokens = inside(tokens, tokens, tokens, present)
        else:
            query = tokens + prompt
            tokens = tokens + inside(query, query, tokens, present)
        tokens = norm(name="norm1")(tokens)

        to_image = attention(width // 2, name="cross_attn_token_to_image")
        tokens = tokens + to_image(tokens + prompt, image + positions, image)
        tokens = norm(name="norm2")(tokens)
        tokens = tokens + MLPBlock(self.mlp_width, dtype=self.dtype, name="mlp")(tokens)
        tokens = norm(name="norm3")(tokens)

        to_tokens = attention(width // 2, name="cross_attn_image_to_token")
        image = image + to_tokens(image + positions, tokens + prompt, tokens, present)
        return tokens, norm(name="norm4")(image)


class TwoWayTransformer(nn.Module):
    """`depth` blocks, then once more attention of the tokens to the image."""

    depth: int = 2
    heads: int = 8
    mlp_width: int = 2048
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        prompt: Float[Array, "*#M T C"],
        image: Float[Array, "*#M P C"],
        positions: Float[Array, "*#M P C"],
        present: Bool[Array, "*#M T"] | None = None,
    ) -> tuple[Float[Array, "*#M T C"], Float[Array, "*#M P C"]]:
        """The tokens and the image's cells after both have seen each other.

        prompt: tokens of the outputs and of the prompt, *M x T x C.
        image: its P cells, row by row, *M x P x C, every number in *M the tokens' or 1.
        positions: of the cells, likewise.
        present: False for tokens that nothing shall see; by default all are seen.
        """
        tokens = prompt
        for index in range(self.depth):
            block = TwoWayBlock(
                self.heads,
                self.mlp_width,
                first=index == 0,
                dtype=self.dtype,
                name=f"layers_{index}",
            )
            tokens, image = block(tokens, image, prompt, positions, present)
        final = Attention(
            self.heads,
            tokens.shape[-1] // 2,
            dtype=self.dtype,
            name="final_attn_token_to_image",
        )
        tokens = tokens + final(tokens + prompt, image + positions, image)
        return layer_norm(dtype=self.dtype, name="norm_final_attn")(tokens), image
