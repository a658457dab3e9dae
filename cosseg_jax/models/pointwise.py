"""The 1x1 convolution as the matrix product that it is."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cosseg_jax.types import Ndarray


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
