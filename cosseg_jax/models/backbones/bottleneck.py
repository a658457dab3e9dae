"""The bottleneck of He et al. 2016 ("Deep residual learning for image recognition", figure 5).

ResNet-50 and the first stage of HRNet consist of it. Submodules have the names of PyTorch's
networks with underscores for dots (`downsample_0`).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from cosseg_jax.models.layers import KERNEL_INIT, PointwiseConv

EXPANSION = 4  # output channels divided by inner channels

Layer = Callable[..., jax.Array]


def conv_bn(
    x: jax.Array,
    channels: int,
    conv: str,
    bn: str,
    *,
    size: int = 3,
    stride: int = 1,
    use_bias: bool = False,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    train: bool,
    dtype: Any,
    axis_name: str | None,
) -> jax.Array:
    """A convolution named `conv` and a batch norm named `bn`, as submodules of the caller."""
    options: dict[str, Any] = dict(
        use_bias=use_bias, kernel_init=KERNEL_INIT, dtype=dtype, name=conv
    )
    if size == 1:
        x = PointwiseConv(channels, stride, **options)(x)
    else:
        x = nn.Conv(channels, (size, size), strides=stride, padding=size // 2, **options)(x)
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=momentum,
        epsilon=epsilon,
        dtype=dtype,
        axis_name=axis_name,
        name=bn,
    )(x)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, added to the input, which is projected if shapes differ.

    planes: channels of the first two convolutions; the third has EXPANSION times as many.
    layer: `conv_bn` with its options.
    stride: of the 3x3 convolution, or of the first one if `stride_first`.
    """

    planes: int
    layer: Layer
    stride: int = 1
    stride_first: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "M h w C"]) -> Float[Array, "M h2 w2 C2"]:
        channels = EXPANSION * self.planes
        first, second = (self.stride, 1) if self.stride_first else (1, self.stride)
        y = nn.relu(self.layer(x, self.planes, "conv1", "bn1", size=1, stride=first))
        y = nn.relu(self.layer(y, self.planes, "conv2", "bn2", stride=second))
        y = self.layer(y, channels, "conv3", "bn3", size=1)
        if x.shape != y.shape:
            x = self.layer(x, channels, "downsample_0", "downsample_1", size=1, stride=self.stride)
        return nn.relu(x + y)
