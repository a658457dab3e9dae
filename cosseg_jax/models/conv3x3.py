"""The 3x3 convolution, the gradient of whose kernel is nine matrix products on CPU."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.types import Ndarray

SIDE = 3
FEWEST = 64  # input and output channels from which on the products are large enough to pay


class Conv3x3(nn.Module):
    """What `nn.Conv` of kernel size (3, 3) and padding 1 computes, with the same parameters.

    XLA has a slow way on CPU to the gradient of a convolution's kernel. As the matrix products that
    it is, one for each entry of the window, the layer's gradients take 1.2 to 2.9 times less time,
    most with large maps (benchmarks/convolutions.py). It takes longer to compile, though,
    so that the head alone uses it. All else is XLA's, as is everything with few channels and on
    other devices.

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
        shape = (SIDE, SIDE, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        y: Any = conv3x3(jnp.asarray(x, self.dtype), kernel.astype(self.dtype), self.stride)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None, :]
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv3x3(
    x: Float[Array, "M h w C"], kernel: Float[Array, "3 3 C F"], stride: int
) -> Float[Array, "M h2 w2 F"]:
    """Convolves without flipping the kernel, a row and column of zeros around each image."""
    return _convolved(x, kernel, stride)


def _convolved(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _forward(x: jax.Array, kernel: jax.Array, stride: int) -> tuple[jax.Array, Any]:
    return _convolved(x, kernel, stride), (x, kernel)


def _backward(stride: int, kept: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    (of_input,) = jax.vjp(lambda x: _convolved(x, kernel, stride), x)[1](gradient)

    def by_xla(x: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: _convolved(x, kernel, stride), kernel)[1](gradient)[0]

    if min(kernel.shape[2:]) < FEWEST:
        return of_input, by_xla(x, gradient)
    products = functools.partial(_kernel_gradient, stride=stride)
    of_kernel = jax.lax.platform_dependent(x, gradient, cpu=products, default=by_xla)
    return of_input, of_kernel


def _kernel_gradient(
    x: Float[Array, "M h w C"], gradient: Float[Array, "M h2 w2 F"], stride: int
) -> Float[Array, "3 3 C F"]:
    """One product of all positions for each entry of the window."""
    height, width = gradient.shape[1:3]
    rows, columns = ((count - 1) * stride + 1 for count in (height, width))
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    flat = gradient.reshape(-1, gradient.shape[-1])  # [M*h2*w2, F]

    def entry(top: int, left: int) -> jax.Array:
        seen = padded[:, top : top + rows : stride, left : left + columns : stride]
        seen = seen.reshape(-1, x.shape[-1])  # [M*h2*w2, C]
        return jnp.matmul(seen.T, flat, preferred_element_type=jnp.float32)

    found = [[entry(top, left) for left in range(SIDE)] for top in range(SIDE)]
    return jnp.asarray(found).astype(x.dtype)


conv3x3.defvjp(_forward, _backward)
