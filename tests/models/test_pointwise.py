"""The matrix product that computes a 1x1 convolution equals flax's convolution."""

from functools import partial

import flax.linen as nn
import jax
import numpy as np
import pytest

from cosseg_jax.models.layers import PointwiseConv


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_it_equals_flaxs_convolution_with_the_same_parameters(stride, use_bias):
    x = np.random.default_rng(0).standard_normal((2, 7, 5, 3)).astype(np.float32)
    ours = PointwiseConv(4, stride, use_bias)
    flaxs = nn.Conv(4, (1, 1), stride, use_bias=use_bias)
    variables = flaxs.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, ours.init(jax.random.key(1), x), variables)
    variables = jax.tree.map(lambda leaf: leaf + 0.5, variables)  # so that the bias is not 0

    def squares(network, variables, x):
        return (network.apply(variables, x) ** 2).mean()

    for our_value, flaxs_value in zip(
        jax.tree.leaves(jax.value_and_grad(partial(squares, ours), (0, 1))(variables, x)),
        jax.tree.leaves(jax.value_and_grad(partial(squares, flaxs), (0, 1))(variables, x)),
        strict=True,
    ):
        np.testing.assert_allclose(our_value, flaxs_value, rtol=1e-5, atol=1e-6)
