"""Vision transformers that were trained without labels: DINOv2 and DINOv3, in sizes S and B.

Sources: Oquab et al. 2023 ("DINOv2: Learning robust visual features without supervision"), Darcet
et al. 2024 ("Vision transformers need registers"), Simeoni et al. 2025 ("DINOv3").

Their tokens lie on one grid. The four maps of a backbone are a simple pyramid without parameters:
the patch tokens of the last blocks, normalised as the network's output, resized to the strides.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cosseg_jax.errors import check_choice
from cosseg_jax.models.backbones.transformer import (
    TransformerBlock,
    rotations,
    token_norm,
)
from cosseg_jax.models.layers import resize
from cosseg_jax.types import FeatureMaps, Ndarray

CELL = 16  # pixels of the input for which there is one token, whatever the size of the patches
TABLE_SIDE = 37  # of DINOv2's table of positions, which was trained on images of 518 pixels
PYRAMID = ((4, -3), (8, -2), (16, -1), (32, -1))  # stride and block of each map
KEYS_CUBIC = -0.75  # the parameter of the cubic kernel without antialiasing


class ViTVariant(NamedTuple):
    """The differences between the published networks.

    patch: side of a patch in pixels.
    registers: tokens beside the patches that belong to no place; they are not part of the maps.
    rotary: whether positions turn queries and keys, or are added from a table.
    antialias: whether the table is resized with antialiasing.
    key_bias: whether keys have a bias.
    epsilon: of layer normalisation.
    """

    patch: int = 14
    registers: int = 0
    rotary: bool = False
    antialias: bool = False
    key_bias: bool = True
    epsilon: float = 1e-6


VIT_VARIANTS = {
    "dinov2": ViTVariant(),
    "dinov2_reg": ViTVariant(registers=4, antialias=True),
    "dinov3": ViTVariant(patch=16, registers=4, rotary=True, key_bias=False, epsilon=1e-5),
}


class ViT(nn.Module):
    """A vision transformer with the maps of the other backbones.

    variant: a key of VIT_VARIANTS.
    width: channels of a token. heads: of the attention. blocks: of the network, 3 or more.
    """

    variant: str
    width: int = 384
    heads: int = 6
    blocks: int = 12
    dtype: Any = jnp.float32
    axis_name: str | None = None  # there are no batch statistics to be shared

    @nn.compact
    def __call__(self, images: Float[Array | Ndarray, "M H W 3"], *, train: bool) -> FeatureMaps:
        """Maps of `width` channels at strides 4..32, each side rounded up.

        There is one token for 16 x 16 pixels: where patches have another size, or a side is no
        multiple of 16, the images are resized to so many patches.

        images: normalised with ImageNet's mean and standard deviation, M x H x W x 3.
        train: has no effect.
        Raises a UserError for an unknown variant.
        """
        check_choice("variant", self.variant, tuple(VIT_VARIANTS))
        variant = VIT_VARIANTS[self.variant]
        height, width = images.shape[1:3]
        rows, columns = (-(-side // CELL) for side in (height, width))
        x = self._tokens(jnp.asarray(images), rows, columns, variant)  # [M, T, C]
        by = rotations(rows, columns, self.width // self.heads) if variant.rotary else None
        outputs = []
        for number in range(self.blocks):
            x = TransformerBlock(
                self.heads,
                variant.key_bias,
                variant.epsilon,
                dtype=self.dtype,
                name=f"blocks_{number}",
            )(x, by)
            outputs.append(x)
        norm = token_norm(variant.epsilon, self.dtype, "norm")
        grids = {
            block: norm(outputs[block])[:, -rows * columns :].reshape(-1, rows, columns, self.width)
            for block in sorted({block for _, block in PYRAMID})
        }
        return FeatureMaps(
            *(
                resize(grids[block], -(-height // stride), -(-width // stride))
                for stride, block in PYRAMID
            )
        )

    def _tokens(self, images: jax.Array, rows: int, columns: int, variant: ViTVariant) -> jax.Array:
        """The tokens before the first block: the class token, registers, patches."""
        patch = (variant.patch, variant.patch)
        images = resize(images, rows * variant.patch, columns * variant.patch)
        x = nn.Conv(
            self.width, patch, patch, padding="VALID", dtype=self.dtype, name="patch_embed"
        )(images)  # [M, rows, columns, C]
        if not variant.rotary:
            x = x + self._positions(rows, columns, variant.antialias).astype(x.dtype)[None]
        x = x.reshape(x.shape[0], rows * columns, self.width)
        names = ["class_token", *(["registers"] * (variant.registers > 0))]
        counts = {"class_token": 1, "registers": variant.registers}
        others = [self._learned(name, counts[name], self.width)[None] for name in names]
        return jnp.concatenate(
            [jnp.broadcast_to(t, (x.shape[0], *t.shape[1:])).astype(x.dtype) for t in others] + [x],
            axis=1,
        )

    def _positions(self, rows: int, columns: int, antialias: bool) -> Float[Array, "h w C"]:
        table = self._learned("positions", TABLE_SIDE, TABLE_SIDE, self.width)
        return resampled(table, rows, columns, antialias=antialias)

    def _learned(self, name: str, *shape: int) -> jax.Array:
        return self.param(name, nn.initializers.normal(0.02), shape, jnp.float32)


def resampled(
    table: Float[Array, "h w C"], rows: int, columns: int, *, antialias: bool
) -> Float[Array, "H W C"]:
    """A table of positions resized to a grid, bicubically, as the networks were published.

    Without antialiasing the kernel's parameter is -0.75 and the border is repeated; with it they
    are those of `jax.image.resize`.
    """
    height, width, channels = table.shape
    if antialias:
        return jax.image.resize(table, (rows, columns, channels), "cubic")
    return jnp.einsum(
        "yh,xw,hwc->yxc",
        cubic_weights(height, rows),
        cubic_weights(width, columns),
        table,
        precision=jax.lax.Precision.HIGHEST,
    )


def cubic_weights(size: int, target: int) -> Float[Ndarray, "target size"]:
    """The share of each of `size` values in each of `target` interpolated ones."""
    places = (np.arange(target) + 0.5) * size / target - 0.5
    first = np.floor(places).astype(int)
    weights = np.zeros((target, size), np.float32)
    for tap in range(-1, 3):
        index = np.clip(first + tap, 0, size - 1)
        np.add.at(weights, (np.arange(target), index), _keys(places - first - tap))
    return weights


def _keys(distance: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel (Keys 1981) with the parameter KEYS_CUBIC."""
    x, a = np.abs(distance), KEYS_CUBIC
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))
