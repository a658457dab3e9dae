"""HRNetV2 (Sun et al. 2019, "High-resolution representations for labeling pixels and regions").

A backbone of section 4.1, without a head: the four branches after the last fusion. Its layers are
those of the network whose ImageNet weights its authors publish as HRNet-W*-C, in which coarse
branches are upsampled by nearest neighbour. Submodules have the official names with underscores for
dots (`stage3_2/fuse_layers_0_1_0`), so that converting weights needs no parser.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.models.backbones.bottleneck import Bottleneck, Layer, conv_bn
from cosseg_jax.types import FeatureMaps, Ndarray


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    layer: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "M h w C"]) -> Float[Array, "M h w C"]:
        y = nn.relu(self.layer(x, x.shape[-1], "conv1", "bn1"))
        y = self.layer(y, x.shape[-1], "conv2", "bn2")
        return nn.relu(x + y)


class HighResolutionModule(nn.Module):
    """Basic blocks on each branch, then each branch becomes the sum of all of them."""

    blocks: int
    layer: Layer

    @nn.compact
    def __call__(self, branches: list[jax.Array]) -> list[jax.Array]:
        branches = list(branches)
        for i in range(len(branches)):
            for block in range(self.blocks):
                name = f"branches_{i}_{block}"
                branches[i] = BasicBlock(self.layer, name=name)(branches[i])
        return [
            nn.relu(sum(self._matched(branches, source, i) for source in range(len(branches))))
            for i in range(len(branches))
        ]

    def _matched(self, branches: list[jax.Array], source: int, target: int) -> jax.Array:
        """The source branch, with the size and channels of the target branch."""
        x, like = branches[source], branches[target]
        name, channels = f"fuse_layers_{target}_{source}", like.shape[-1]
        if source > target:
            x = self.layer(x, channels, f"{name}_0", f"{name}_1", size=1)
            return _upsampled(x, 2 ** (source - target), like)
        for k in range(target - source):
            last = k == target - source - 1
            wide = channels if last else x.shape[-1]
            x = self.layer(x, wide, f"{name}_{k}_0", f"{name}_{k}_1", stride=2)
            x = x if last else nn.relu(x)
        return x


def _upsampled(x: jax.Array, factor: int, like: jax.Array) -> jax.Array:
    """Repeats every cell, and crops the result to the size of `like`, which may be odd."""
    m, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (m, h, factor, w, factor, c))
    x = x.reshape(m, h * factor, w * factor, c)  # [M, h*factor, w*factor, C]
    return x[:, : like.shape[1], : like.shape[2]]  # [M, h, w, C]


class HRNet(nn.Module):
    """The four branches of HRNetV2, with 1, 2, 4 and 8 times `width` channels.

    width: channels of the finest branch; 18, 32 and 48 are published.
    stem: channels of the stem. bottlenecks, planes: blocks of stage 1 and their inner channels.
    modules: high-resolution modules in stages 2, 3 and 4. blocks: basic blocks on each branch.
    axis_name: the mapped axis over which batch statistics are averaged, or None.
    """

    width: int
    stem: int = 64
    bottlenecks: int = 4
    planes: int = 64
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array | Ndarray, "M H W 3"], *, train: bool) -> FeatureMaps:
        """Maps at strides 4..32, each side rounded up: H = 225 gives 57, 29, 15 and 8 rows.

        images: normalised with ImageNet's mean and standard deviation, M x H x W x 3.
        train: batch statistics if True, running ones if False.
        """
        layer = functools.partial(conv_bn, train=train, dtype=self.dtype, axis_name=self.axis_name)
        x = nn.relu(layer(jnp.asarray(images), self.stem, "conv1", "bn1", stride=2))
        x = nn.relu(layer(x, self.stem, "conv2", "bn2", stride=2))
        for block in range(self.bottlenecks):
            x = Bottleneck(self.planes, layer, name=f"layer1_{block}")(x)
        branches = [x]
        for stage, modules in enumerate(self.modules, start=2):
            branches = self._transition(branches, stage, layer)
            for module in range(modules):
                name = f"stage{stage}_{module}"
                branches = HighResolutionModule(self.blocks, layer, name=name)(branches)
        return FeatureMaps(*branches)

    def _transition(self, branches: list[jax.Array], stage: int, layer: Layer) -> list[jax.Array]:
        """Adds a branch at half the size of the coarsest; stage 2 also narrows the first branch."""
        name, coarsest = f"transition{stage - 1}", branches[-1]
        if stage == 2 and coarsest.shape[-1] != self.width:
            x = layer(coarsest, self.width, f"{name}_0_0", f"{name}_0_1")
            branches = [nn.relu(x)]
        i = len(branches)
        x = layer(coarsest, self.width * 2**i, f"{name}_{i}_0_0", f"{name}_{i}_0_1", stride=2)
        return [*branches, nn.relu(x)]
