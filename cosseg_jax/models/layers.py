"""Layers that the backbones, the fusion, the modulators and the head share.

On CPU, XLA is slow at two operations that matrix products do faster (benchmarks/convolutions.py):

- the gradient of a 3x3 convolution's kernel. As nine products, one per entry of the window, the
  gradients of a layer take 1.2 to 2.9 times less time, most with large maps. They take longer to
  compile, so only the head uses them;
- the 1x1 convolution, which is 1.4 to 2.8 times faster as a product where gradients are taken.

With few channels, and on other devices, the 3x3 convolution's gradient is XLA's own.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.types import Ndarray

WINDOW = 3  # rows and columns of the 3x3 convolution
KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # of the backbones
MIN_CHANNELS = 64  # input and output channels from which the products are large enough to pay off


def resize(x: Float[Array, "M h w C"], height: int, width: int) -> Float[Array, "M H W C"]:
    """Resizes bilinearly, with anti-aliasing where it shrinks."""
    return jax.image.resize(x, (x.shape[0], height, width, x.shape[3]), "linear")


def convolved_3x3(
    x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """A `conv_general_dilated` for `nn.Conv` with a 3x3 window, stride 1 and SAME padding.

    Raises:
        ValueError: for another window, stride or padding.
    """
    if kernel.shape[:2] != (WINDOW, WINDOW) or tuple(strides) != (1, 1) or padding != "SAME":
        raise ValueError(
            f"a window of {kernel.shape[:2]} with strides {strides} and padding {padding!r}; "
            "only 3x3 with stride 1 and SAME padding is supported"
        )
    del options  # nn.Conv's defaults: no dilation, one group of channels
    return _conv_3x3(x, kernel)


def _xla_conv_3x3(x: jax.Array, kernel: jax.Array) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)


def _conv_3x3_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return _xla_conv_3x3(x, kernel), (x, kernel)


def _conv_3x3_backward(saved: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    (input_gradient,) = jax.vjp(lambda x: _xla_conv_3x3(x, kernel), x)[1](gradient)

    def by_xla(x: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: _xla_conv_3x3(x, kernel), kernel)[1](gradient)[0]

    if min(kernel.shape[2:]) < MIN_CHANNELS:
        return input_gradient, by_xla(x, gradient)
    kernel_gradient = jax.lax.platform_dependent(
        x, gradient, cpu=kernel_gradient_by_products, default=by_xla
    )
    return input_gradient, kernel_gradient


_conv_3x3 = jax.custom_vjp(_xla_conv_3x3)
_conv_3x3.defvjp(_conv_3x3_forward, _conv_3x3_backward)


def kernel_gradient_by_products(
    x: Float[Array, "M h w C"], gradient: Float[Array, "M h w F"]
) -> Float[Array, "3 3 C F"]:
    """The kernel's gradient: one product over all positions for each entry of the window."""
    height, width = gradient.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    flat = gradient.reshape(-1, gradient.shape[-1])  # [M*h*w, F]

    def entry(top: int, left: int) -> jax.Array:
        shifted = padded[:, top : top + height, left : left + width]
        shifted = shifted.reshape(-1, x.shape[-1])  # [M*h*w, C]
        return jnp.matmul(shifted.T, flat, preferred_element_type=jnp.float32)

    entries = [[entry(top, left) for left in range(WINDOW)] for top in range(WINDOW)]
    return jnp.asarray(entries).astype(x.dtype)


class PointwiseConv(nn.Module):
    """Computes what `nn.Conv` of kernel size (1, 1) does, with the same parameters.

    features: output channels.
    stride: along both axes.
    """

    features: int
    stride: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array | Ndarray, "M h w C"]) -> Float[Array, "M h2 w2 F"]:
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x = jnp.asarray(x, self.dtype)
        if self.stride > 1:  # a slice, not a gather, even where M is symbolic in an export
            x = jax.lax.slice(x, (0, 0, 0, 0), x.shape, (1, self.stride, self.stride, 1))
        y = jax.lax.dot_general(x, kernel[0, 0].astype(self.dtype), (((3,), (0,)), ((), ())))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None, :]
        return y
