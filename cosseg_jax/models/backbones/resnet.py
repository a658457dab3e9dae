"""ResNet-50 (He et al. 2016, "Deep residual learning for image recognition", table 1).

A backbone beyond the paper's two, with the outputs of stages conv2_x to conv5_x. Both variants with
published ImageNet weights are supported. Submodules have torchvision's names with underscores for
dots (`layer3_0/downsample_1`).
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.errors import check_choice
from cosseg_jax.models.backbones.bottleneck import Bottleneck, conv_bn
from cosseg_jax.types import FeatureMaps, Ndarray


class ResNetVariant(NamedTuple):
    """The differences between the published networks.

    stride_first: whether stages 3 to 5 halve the sides in the first 1x1 convolution, as in the
        publication, or in the 3x3 convolution after it.
    use_bias: of all convolutions.
    epsilon, momentum: of batch normalisation; momentum is the share of the old statistics.
    """

    stride_first: bool
    use_bias: bool
    epsilon: float
    momentum: float


RESNET_VARIANTS = {
    "torchvision": ResNetVariant(stride_first=False, use_bias=False, epsilon=1e-5, momentum=0.9),
    "keras": ResNetVariant(stride_first=True, use_bias=True, epsilon=1e-3, momentum=0.99),
}


def in_first_stages(module: str, stages: int) -> bool:
    """Whether a submodule of ResNet belongs to its first stages, which include the stem."""
    if not module.startswith("layer"):
        return stages > 0
    return int(module.removeprefix("layer").split("_")[0]) <= stages


class ResNet(nn.Module):
    """A 7x7 convolution, a pooling and four stages of bottlenecks, without a head.

    variant: a key of RESNET_VARIANTS.
    width: channels of the stem and inner channels of the first stage; later stages double them.
    blocks: bottlenecks in each stage.
    frozen_stages: how many stages get no gradient and keep their statistics; the stem too, if any.
    axis_name: the mapped axis over which batch statistics are averaged, or None.
    """

    variant: str = "torchvision"
    width: int = 64
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    frozen_stages: int = 0
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Float[Array | Ndarray, "M H W 3"], *, train: bool) -> FeatureMaps:
        """Maps of 256, 512, 1024 and 2048 channels at strides 4..32, each side rounded up.

        images: normalised by `models.backbones.normalise_images` for the variant, M x H x W x 3.
        train: batch statistics if True, running ones if False.
        Raises a UserError for an unknown variant.
        """
        check_choice("variant", self.variant, tuple(RESNET_VARIANTS))
        variant = RESNET_VARIANTS[self.variant]
        layer = functools.partial(
            conv_bn,
            use_bias=variant.use_bias,
            epsilon=variant.epsilon,
            momentum=variant.momentum,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        stem = functools.partial(layer, train=train and not self.frozen_stages)
        x = nn.relu(stem(jnp.asarray(images), self.width, "conv1", "bn1", size=7, stride=2))
        # After a ReLU, padding with zeros is equivalent to padding with minus infinity.
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = nn.max_pool(x, (3, 3), strides=(2, 2))
        maps = []
        for stage, blocks in enumerate(self.blocks):
            frozen = stage < self.frozen_stages
            for block in range(blocks):
                x = Bottleneck(
                    self.width * 2**stage,
                    functools.partial(layer, train=train and not frozen),
                    stride=2 if stage > 0 and block == 0 else 1,
                    stride_first=variant.stride_first,
                    name=f"layer{stage + 1}_{block}",
                )(x)
            x = jax.lax.stop_gradient(x) if frozen else x
            maps.append(x)
        return FeatureMaps(*maps)
