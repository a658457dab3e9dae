"""The 3x3 convolution whose gradient is a product of matrices equals flax's own."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models.layers import MIN_CHANNELS, convolved_3x3


def squares(network, variables, x):
    return (network.apply(variables, x) ** 2).mean()


@pytest.mark.parametrize(("channels", "features"), [(3, 4), (MIN_CHANNELS, MIN_CHANNELS)])
def test_it_equals_flaxs_convolution_with_its_gradients(channels, features):
    x = np.random.default_rng(0).standard_normal((2, 7, 6, channels)).astype(np.float32)
    ours = nn.Conv(features, (3, 3), conv_general_dilated=convolved_3x3)
    flaxs = nn.Conv(features, (3, 3))
    variables = jax.tree.map(lambda leaf: leaf + 0.5, flaxs.init(jax.random.key(1), x))
    for our_value, flaxs_value in zip(
        jax.tree.leaves(jax.value_and_grad(partial(squares, ours), (0, 1))(variables, x)),
        jax.tree.leaves(jax.value_and_grad(partial(squares, flaxs), (0, 1))(variables, x)),
        strict=True,
    ):
        np.testing.assert_allclose(our_value, flaxs_value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"kernel_size": (1, 1)}, {"strides": 2}, {"padding": "VALID"}])
def test_other_convolutions_are_refused(options):
    layer = nn.Conv(
        **({"features": 4, "kernel_size": (3, 3)} | options), conv_general_dilated=convolved_3x3
    )
    with pytest.raises(ValueError, match="only 3x3 with stride 1 and SAME"):
        layer.init(jax.random.key(0), jnp.ones((1, 5, 5, 2)))


def test_the_kernels_gradient_is_summed_in_float32_for_bfloat16_inputs():
    x = jnp.ones((4, 64, 64, MIN_CHANNELS), jnp.bfloat16)  # bfloat16 cannot sum 16,384 ones
    layer = nn.Conv(
        MIN_CHANNELS,
        (3, 3),
        use_bias=False,
        dtype=jnp.bfloat16,
        conv_general_dilated=convolved_3x3,
    )

    def total(kernel):
        return layer.apply({"params": {"kernel": kernel}}, x).sum(dtype=jnp.float32)

    gradient = jax.grad(total)(jnp.zeros((3, 3, MIN_CHANNELS, MIN_CHANNELS)))
    assert gradient.dtype == jnp.float32
    np.testing.assert_allclose(gradient[1, 1], 4 * 64 * 64, rtol=1e-2)
    np.testing.assert_allclose(gradient[0, 0], 4 * 63 * 63, rtol=1e-2)
