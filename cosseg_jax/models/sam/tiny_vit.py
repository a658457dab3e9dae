"""The image encoder of MobileSAM: TinyViT-5M and SAM's neck, an embedding at stride 16.

TinyViT: Wu et al. 2022, "TinyViT: fast pretraining distillation for small vision transformers",
section 3.2 and table 1. MobileSAM (Zhang et al. 2023, "Faster segment anything") puts it in the
place of SAM's ViT, lets its last stage stay at stride 16, and adds the neck of SAM (Kirillov et
al. 2023, "Segment anything", appendix A). No stage depends on the size of the image: windows are
filled up with zeros, so that every height and width that is a multiple of 16 is taken.

Submodules carry the names of the published file, with `_` for the dot in front of a number.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from cosseg_jax.models.sam.convolutions import ConvBN, DepthwiseBN
from cosseg_jax.models.sam.layers import gelu, layer_norm
from cosseg_jax.models.sam.strips import in_strips, only
from cosseg_jax.models.sam.windows import WindowAttention, join_windows, split_windows
from cosseg_jax.types import Ndarray

STRIDE = 16  # of the embedding


class MBConv(nn.Module):
    """An inverted bottleneck: expand, filter each channel, project, add the input."""

    expansion: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        return in_strips(MBConv._layers, self, x, halo=1)

    def _layers(
        self, x: Float[Array, "B r w C"], inside: Bool[Array, " r"]
    ) -> Float[Array, "B r2 w C"]:
        width = x.shape[-1]
        y = gelu(ConvBN(self.expansion * width, 1, dtype=self.dtype, name="conv1")(x))
        y = DepthwiseBN(dtype=self.dtype, name="conv2")(only(inside, y))
        y = ConvBN(width, 1, dtype=self.dtype, name="conv3")(gelu(y))
        return gelu(x[:, 1:-1] + y)


class PatchMerging(nn.Module):
    """From one stage to the next: other channels and, with a stride of 2, half the sides."""

    features: int
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h2 w2 F"]:
        return in_strips(PatchMerging._layers, self, x, halo=1)

    def _layers(
        self, x: Float[Array, "B r w C"], inside: Bool[Array, " r"]
    ) -> Float[Array, "B r2 w2 F"]:
        x = gelu(ConvBN(self.features, 1, dtype=self.dtype, name="conv1")(x))
        x = DepthwiseBN(self.stride, dtype=self.dtype, name="conv2")(only(inside, x))
        return ConvBN(self.features, 1, dtype=self.dtype, name="conv3")(gelu(x))


class Mlp(nn.Module):
    """Normalise, widen, GELU, narrow."""

    expansion: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        width = x.shape[-1]
        x = layer_norm(dtype=self.dtype, name="norm")(x)
        x = gelu(nn.Dense(self.expansion * width, dtype=self.dtype, name="fc1")(x))
        return nn.Dense(width, dtype=self.dtype, name="fc2")(x)


class TinyViTBlock(nn.Module):
    """Attention within windows, a depthwise convolution across them, and an MLP."""

    heads: int
    window: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        attention = WindowAttention(self.heads, self.window, dtype=self.dtype, name="attn")
        x = x + join_windows(attention(split_windows(x, self.window)), x.shape)
        x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
        x = DepthwiseBN(dtype=self.dtype, name="local_conv")(x)
        return x + Mlp(dtype=self.dtype, name="mlp")(x)


class Stage(nn.Module):
    """`depth` blocks of one kind, then the merging into the next stage, where there is one."""

    block: Callable[..., nn.Module]
    depth: int
    merging: Callable[..., nn.Module] | None

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h2 w2 F"]:
        for index in range(self.depth):
            x = self.block(name=f"blocks_{index}")(x)
        return x if self.merging is None else self.merging(name="downsample")(x)


class PatchEmbed(nn.Module):
    """Two convolutions of stride 2: from pixels to the first stage's channels."""

    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        x = ConvBN(self.features // 2, 3, stride=2, dtype=self.dtype, name="seq_0")(images)
        return ConvBN(self.features, 3, stride=2, dtype=self.dtype, name="seq_2")(gelu(x))


class TinyViT(nn.Module):
    """Four stages: the first of convolutions, three of attention within windows; then the neck.

    widths, depths: channels and blocks of each stage.
    heads, windows: of the three stages with attention; a window's side is in cells.
    embedding: channels of the result.
    """

    widths: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    heads: tuple[int, int, int] = (4, 5, 10)
    windows: tuple[int, int, int] = (7, 14, 7)
    embedding: int = 256
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array | Ndarray, "B H W 3"]) -> Float[Array, "B h w E"]:
        """The embedding of each image at stride 16, B x H/16 x W/16 x `embedding`.

        images: normalised as `frame.to_input` does, B x H x W x 3, H and W multiples of 16.
        Raises ValueError for other sides.
        """
        _check_sides(images.shape)
        x = PatchEmbed(self.widths[0], dtype=self.dtype, name="patch_embed")(
            jnp.asarray(images, self.dtype)
        )
        for index, depth in enumerate(self.depths):
            stage = Stage(self._block(index), depth, self._merging(index), name=f"layers_{index}")
            x = stage(x)
        return self._neck(x)

    def _block(self, stage: int) -> Callable[..., nn.Module]:
        if stage == 0:
            return functools.partial(MBConv, dtype=self.dtype)
        heads, window = self.heads[stage - 1], self.windows[stage - 1]
        return functools.partial(TinyViTBlock, heads, window, dtype=self.dtype)

    def _merging(self, stage: int) -> Callable[..., nn.Module] | None:
        if stage == 3:
            return None
        stride = 1 if stage == 2 else 2  # MobileSAM's last stage stays at stride 16
        return functools.partial(PatchMerging, self.widths[stage + 1], stride, dtype=self.dtype)

    def _neck(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w E"]:
        conv = functools.partial(nn.Conv, self.embedding, use_bias=False, dtype=self.dtype)
        norm = functools.partial(layer_norm, epsilon=1e-6, dtype=self.dtype)
        x = norm(name="neck_1")(conv((1, 1), name="neck_0")(x))
        return norm(name="neck_3")(conv((3, 3), padding=1, name="neck_2")(x))


def _check_sides(shape: tuple[Any, ...]) -> None:
    height, width = shape[-3:-1]
    if height % STRIDE or width % STRIDE:
        raise ValueError(
            f"images of {height} x {width} pixels; the encoder takes multiples of {STRIDE}: "
            "pad them as cosseg_jax.models.sam.frame.to_input does"
        )
