"""The gradient of a 3x3 convolution's kernel as nine matrix products, on CPU.

XLA has a slow way on CPU to that gradient. As the matrix products that it is, one for each entry of
the window, the gradients of a layer take 1.2 to 2.9 times less time, most with large maps
(benchmarks/convolutions.py). They take longer to compile, though, so that the head alone uses them.
All else is XLA's, as is everything with few channels and on other devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
