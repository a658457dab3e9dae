"""The prompt encoder of SAM (Kirillov et al. 2023, section 3 and appendix A).

Points and the corners of a box become tokens: a random Fourier feature of the position (Tancik et
al. 2020) plus a learnt vector for the kind. A mask becomes a vector for each cell of the image.

Submodules carry the names of the published file, with `_` for the dot in front of a number.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from cosseg_jax.models.sam.layers import gelu, layer_norm
from cosseg_jax.models.sam.prompts import ABSENT, Prompts
from cosseg_jax.models.sam.tiny_vit import STRIDE
from cosseg_jax.types import Ndarray

NUM_LABELS = 4  # negative point, positive point, upper left and lower right corner


class PromptEmbedding(NamedTuple):
    """What the mask decoder sees of prompts.

    tokens: one a point.
    present: False for places without a point, which nothing attends to.
    dense: what is added to the image's cells; 1 x 1 x 1 of them where no prompt has a mask.
    positions: encoding of the cells' centres.
    """

    tokens: Float[Array, "B P T C"]
    present: Bool[Array, "B P T"]
    dense: Float[Array, "B #P #h #w C"]
    positions: Float[Array, "h w C"]


class FourierFeatures(nn.Module):
    """Sines and cosines of random projections; `features` of them together."""

    features: int

    @nn.compact
    def __call__(self, at: Float[Array, "*M 2"]) -> Float[Array, "*M C"]:
        """at: (x, y) from 0 to 1."""
        matrix = self.param(
            "positional_encoding_gaussian_matrix",
            nn.initializers.normal(1.0),
            (2, self.features // 2),
            jnp.float32,
        )
        angle = 2 * jnp.pi * jnp.matmul(2 * at - 1, matrix, precision=jax.lax.Precision.HIGHEST)
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)  # [*M, C]


class PromptEncoder(nn.Module):
    """Tokens of points and boxes, and vectors of masks.

    features: channels of the image's embedding.
    image_size: side in pixels of the square in which points lie and in which the image's upper left
        corner is that of the square.
    mask_width: inner channels of the encoder of masks.
    """

    features: int = 256
    image_size: int = 1024
    mask_width: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, prompts: Prompts, grid: tuple[int, int]) -> PromptEmbedding:
        """Embeds prompts for an image of grid = (h, w) cells; shapes as in PromptEmbedding.

        Raises ValueError where masks are not four times as high and wide as the grid.
        """
        fourier = FourierFeatures(self.features, name="pe_layer")
        labels = jnp.asarray(prompts.labels)
        at = (jnp.asarray(prompts.points, jnp.float32) + 0.5) / self.image_size
        seen = (labels >= 0)[..., None]  # [B, P, T, 1]
        tokens = jnp.where(seen, fourier(at), 0.0) + self._kinds(labels)
        return PromptEmbedding(
            tokens.astype(self.dtype),
            labels != ABSENT,
            self._dense(prompts, grid).astype(self.dtype),
            fourier(cell_centres(grid) * STRIDE / self.image_size).astype(self.dtype),
        )

    def _kinds(self, labels: Int[Array, "B P T"]) -> Float[Array, "B P T C"]:
        """The learnt vector of each label; the last of the table is that of no point."""
        kinds = [self._vector(f"point_embeddings_{kind}") for kind in range(NUM_LABELS)]
        table = jnp.concatenate([*kinds, self._vector("not_a_point_embed")])  # [NUM_LABELS + 1, C]
        return table[jnp.where(labels < 0, NUM_LABELS, labels)]

    def _dense(self, prompts: Prompts, grid: tuple[int, int]) -> Float[Array, "B #P #h #w C"]:
        without = self._vector("no_mask_embed")[None, None, None]  # [1, 1, 1, 1, C]
        if prompts.masks is None:
            if self.is_initializing():  # the parameters are there for prompts to come
                self._downscaled(jnp.zeros((1, 1, 4, 4)))
            return jnp.broadcast_to(without, (prompts.labels.shape[0], *without.shape[1:]))
        sides = prompts.masks.shape[-2:]
        if sides != (4 * grid[0], 4 * grid[1]):
            raise ValueError(
                f"masks of prompts are {sides[0]} x {sides[1]}; an embedding of {grid[0]} x "
                f"{grid[1]} cells takes {4 * grid[0]} x {4 * grid[1]}"
            )
        dense = self._downscaled(prompts.masks)
        if prompts.has_mask is None:
            return dense
        has_mask = jnp.asarray(prompts.has_mask)[..., None, None, None]  # [B, P, 1, 1, 1]
        return jnp.where(has_mask, dense, without)

    def _downscaled(self, masks: Float[Array | Ndarray, "B P h4 w4"]) -> Float[Array, "B P h w C"]:
        """Vectors at stride 16 from masks at stride 4."""
        conv = functools.partial(nn.Conv, kernel_size=(2, 2), strides=2, dtype=self.dtype)
        norm = functools.partial(layer_norm, epsilon=1e-6, dtype=self.dtype)
        names = [f"mask_downscaling_{place}" for place in range(7)]
        x = jnp.asarray(masks, self.dtype)[..., None]  # [B, P, 4h, 4w, 1]
        x = gelu(norm(name=names[1])(conv(self.mask_width // 4, name=names[0])(x)))
        x = gelu(norm(name=names[4])(conv(self.mask_width, name=names[3])(x)))
        return nn.Conv(self.features, (1, 1), dtype=self.dtype, name=names[6])(x)

    def _vector(self, name: str) -> Float[Array, "1 C"]:
        return nn.Embed(1, self.features, name=name).embedding


def cell_centres(grid: tuple[int, int]) -> Float[Array, "h w 2"]:
    """(x, y) of the centres of h x w cells, in cells from the upper left corner."""
    rows, columns = (jnp.arange(side) + 0.5 for side in grid)
    return jnp.stack(jnp.meshgrid(columns, rows), axis=-1)  # [h, w, 2]
