"""Our 1x1 and 3x3 convolutions against flax's, with their gradients."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models.conv3x3 import FEWEST, Conv3x3
from cosseg_jax.models.pointwise import PointwiseConv


@pytest.mark.parametrize(("side", "ours"), [(1, PointwiseConv), (3, Conv3x3)])
@pytest.mark.parametrize(("channels", "features"), [(3, 4), (FEWEST, FEWEST)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_it_is_flaxs_convolution_with_the_same_parameters(
    side, ours, channels, features, stride, use_bias
):
    x = np.random.default_rng(0).standard_normal((2, 7, 6, channels)).astype(np.float32)
    network = ours(features, stride, use_bias)
    flaxs = nn.Conv(features, (side, side), stride, side // 2, use_bias=use_bias)
    variables = flaxs.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, network.init(jax.random.key(1), x), variables)
    variables = jax.tree.map(lambda leaf: leaf + 0.5, variables)  # a bias that is seen

    def squares(network, variables, x):
        return (network.apply(variables, x) ** 2).mean()

    for of_ours, of_flaxs in zip(
        jax.tree.leaves(jax.value_and_grad(partial(squares, network), (0, 1))(variables, x)),
        jax.tree.leaves(jax.value_and_grad(partial(squares, flaxs), (0, 1))(variables, x)),
        strict=True,
    ):
        np.testing.assert_allclose(of_ours, of_flaxs, rtol=1e-5, atol=1e-6)


def test_the_3x3_kernels_gradient_is_summed_in_single_precision_from_half_ones():
    x = jnp.ones((4, 64, 64, FEWEST), jnp.bfloat16)  # sums of 16,384 ones are lost in bfloat16
    layer = Conv3x3(FEWEST, use_bias=False, dtype=jnp.bfloat16)

    def total(kernel):
        return layer.apply({"params": {"kernel": kernel}}, x).sum(dtype=jnp.float32)

    gradient = jax.grad(total)(jnp.zeros((3, 3, FEWEST, FEWEST)))
    assert gradient.dtype == jnp.float32
    np.testing.assert_allclose(gradient[1, 1], 4 * 64 * 64, rtol=1e-2)
    np.testing.assert_allclose(gradient[0, 0], 4 * 63 * 63, rtol=1e-2)
