"""The gradient of a 3x3 convolution's kernel as nine matrix products, on CPU.

XLA has a slow way on CPU to that gradient. As the matrix products that it is, one for each entry of
the window, the gradients of a layer take 1.2 to 2.9 times less time, most with large maps
(benchmarks/convolutions.py). They take longer to compile, though, so that the head alone uses them.
All else is XLA's, as is everything with few channels and on other devices.

The 1x1 convolution as the matrix product that it is.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.types import Ndarray

SIDE = 3
FEWEST = 64  # input and output channels from which on the products are large enough to pay


def convolved_3x3(
    x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any
) -> jax.Array:
    """What `nn.Conv` takes as `conv_general_dilated`, for 3x3, stride 1 and SAME padding.

    Raises ValueError for other windows, strides or padding.
    """
    if kernel.shape[:2] != (SIDE, SIDE) or tuple(strides) != (1, 1) or padding != "SAME":
        raise ValueError(
            f"a window of {kernel.shape[:2]} with strides {strides} and padding {padding!r}; "
            "only 3x3, stride 1 and SAME are done by products"
        )
    del options  # of nn.Conv as it stands: nothing dilated, no groups of channels
    return _conv(x, kernel)


@jax.custom_vjp
def _conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _by_xla(x, kernel)


def _by_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return _by_xla(x, kernel), (x, kernel)


def _backward(kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    (of_input,) = jax.vjp(lambda x: _by_xla(x, kernel), x)[1](gradient)

    def by_xla(x: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: _by_xla(x, kernel), kernel)[1](gradient)[0]

    if min(kernel.shape[2:]) < FEWEST:
        return of_input, by_xla(x, gradient)
    return of_input, jax.lax.platform_dependent(x, gradient, cpu=_by_products, default=by_xla)


def _by_products(
    x: Float[Array, "M h w C"], gradient: Float[Array, "M h w F"]
) -> Float[Array, "3 3 C F"]:
    """One product over all positions for each entry of the window."""
    height, width = gradient.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    flat = gradient.reshape(-1, gradient.shape[-1])  # [M*h*w, F]

    def entry(top: int, left: int) -> jax.Array:
        seen = padded[:, top : top + height, left : left + width]
        seen = seen.reshape(-1, x.shape[-1])  # [M*h*w, C]
        return jnp.matmul(seen.T, flat, preferred_element_type=jnp.float32)

    found = [[entry(top, left) for left in range(SIDE)] for top in range(SIDE)]
    return jnp.asarray(found).astype(x.dtype)


_conv.defvjp(_forward, _backward)


class PointwiseConv(nn.Module):
    """What `nn.Conv` of kernel size (1, 1) computes, with the same parameters.

    On CPU XLA has a faster way for a matrix product than for a convolution, 1.4 to 2.8 times so
    where gradients are taken (benchmarks/convolutions.py).

    features: output channels.
    stride: of both axes.
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
        if self.stride > 1:  # as a slice, not a gather, also where M is open
            x = jax.lax.slice(x, (0, 0, 0, 0), x.shape, (1, self.stride, self.stride, 1))
        y = jax.lax.dot_general(x, kernel[0, 0].astype(self.dtype), (((3,), (0,)), ((), ())))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None, :]
        return y
