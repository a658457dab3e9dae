"""Second-order pooling by hand, and what gamma must and must not depend on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models.semantic import (
    SecondOrderPooling,
    SemanticModulator,
    SemanticOptions,
    covariance,
    signed_sqrt_l2,
)

# Two positions of two channels. The convolution gives (1, 1) and (3, -2), the ReLU (1, 1) and
# (3, 0). Not centred, their products over the 2 positions are [[10, 1], [1, 1]] / 2; centred,
# from (-1, 0.5) and (1, -0.5), [[2, -1], [-1, 0.5]] / 2.
POSITIONS = jnp.array([[[1.0, 2.0], [3.0, 1.0]]])
REDUCE = dict(kernel=jnp.array([[1.0, -1.0], [0.0, 1.0]]), bias=jnp.zeros(2))
EXPAND = dict(kernel=jnp.array([[1.0], [2.0], [4.0], [16.0]]), bias=jnp.array([0.25]))

POOLINGS = ("second", "first", "both")
SMALL = SemanticOptions(reduced=4)
EVERY = [
    SemanticOptions(reduced=4, pooling=pooling, centred=centred, covariance=kind, layer_norm=norm)
    for pooling in POOLINGS
    for centred, kind, norm in [(False, "plain", False), (True, "sqrt_l2", True)]
]


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def made(options: SemanticOptions, x: jax.Array):
    """A modulator of 3 channels and 5 categories, and variables without a zero among them."""
    modulator = SemanticModulator(3, 5, options)
    shapes = jax.eval_shape(modulator.init, jax.random.key(0), x)
    return modulator, jax.tree.map(lambda leaf: 0.5 * noise(*leaf.shape), shapes)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (dict(), 5 + 2 * 0.5 + 4 * 0.5 + 16 * 0.5 + 0.25),
        (dict(centred=True), 1 - 2 * 0.5 - 4 * 0.5 + 16 * 0.25 + 0.25),
        (dict(covariance="sqrt_l2"), (5**0.5 + 22 * 0.5**0.5) / 6.5**0.5 + 0.25),
        (
            dict(covariance="sqrt_l2", centred=True),
            (1 - 6 * 0.5**0.5 + 16 * 0.25**0.5) / 2.25**0.5 + 0.25,
        ),
    ],
)
def test_second_order_pooling_by_hand(options, expected):
    pooling = SecondOrderPooling(1, SemanticOptions(reduced=2, **options))
    values = pooling.apply({"params": {"reduce": REDUCE, "expand": EXPAND}}, POSITIONS)
    np.testing.assert_allclose(values, [[expected]], rtol=1e-4)


def test_covariance_does_not_grow_with_the_number_of_positions():
    x = noise(2, 6, 3)
    twice = jnp.concatenate([x, x], axis=1)
    for centred in (False, True):
        once = covariance(x, centred=centred)
        np.testing.assert_allclose(covariance(twice, centred=centred), once, rtol=1e-5, atol=1e-6)


def test_covariance_of_bfloat16_is_taken_in_float32():
    x = 100 + noise(1, 64, 2).astype(jnp.bfloat16)
    expected = np.cov(np.asarray(x[0], np.float64).T, bias=True)
    np.testing.assert_allclose(covariance(x, centred=True)[0], expected, rtol=1e-4, atol=1e-4)


def test_signed_square_root_keeps_signs_and_has_length_1():
    values = signed_sqrt_l2(jnp.array([[4.0, -9.0, 0.0]]))
    np.testing.assert_allclose(values, [[2 / 13**0.5, -3 / 13**0.5, 0]], rtol=1e-5)


def slow_pooling(x, params):
    """SP of one set of positions [P, C], in plain float64 loops."""
    x = np.maximum(x @ np.float64(params["reduce"]["kernel"]) + params["reduce"]["bias"], 0)
    products = sum(np.outer(position, position) for position in x) / len(x)
    return products.ravel() @ np.float64(params["expand"]["kernel"]) + params["expand"]["bias"]


def test_gamma_is_a_pooling_of_the_poolings_of_images():
    x = noise(2, 3, 4, 5, 6)
    modulator, variables = made(SMALL, x)
    params = jax.device_get(variables["params"]["second_order"])
    expected = []
    for group in np.float64(x):
        each = [slow_pooling(photo.reshape(20, 6), params["photo"]) for photo in group]
        expected.append(slow_pooling(np.stack(each), params["group"]))
    np.testing.assert_allclose(modulator.apply(variables, x).gamma, expected, rtol=1e-4)


def test_class_logits_are_linear_in_gamma():
    x = noise(2, 3, 2, 2, 6)
    modulator, variables = made(SMALL, x)
    gamma, logits = modulator.apply(variables, x)
    weights = variables["params"]["classify"]
    expected = np.asarray(gamma) @ np.asarray(weights["kernel"]) + np.asarray(weights["bias"])[None]
    assert logits.shape == (2, 5)
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


@pytest.fixture(scope="module", params=EVERY, ids=lambda options: f"{options.pooling}")
def any_modulator(request):
    """Each pooling, plain and with all its options on: x, variables, and the compiled call."""
    x = noise(2, 3, 3, 2, 6)
    modulator, variables = made(request.param, x)
    return x, variables, jax.jit(modulator.apply)


def test_gamma_leaves_the_order_of_images_out(any_modulator):
    x, variables, apply = any_modulator
    gamma = apply(variables, x).gamma
    np.testing.assert_allclose(apply(variables, x[:, ::-1]).gamma, gamma, rtol=1e-4, atol=1e-5)


def test_gamma_leaves_the_order_of_positions_out(any_modulator):
    x, variables, apply = any_modulator
    gamma = apply(variables, x).gamma
    turned = x[:, :, ::-1, ::-1]
    np.testing.assert_allclose(apply(variables, turned).gamma, gamma, rtol=1e-4, atol=1e-5)


def test_every_image_counts(any_modulator):
    x, variables, apply = any_modulator
    gamma = apply(variables, x).gamma
    for photo in range(3):
        other = x.at[0, photo].set(noise(3, 2, 6, seed=1))
        assert np.abs(apply(variables, other).gamma - gamma)[0].max() > 1e-3


def test_groups_do_not_hear_one_another(any_modulator):
    x, variables, apply = any_modulator
    alone = apply(variables, x.at[0].set(7.0)).gamma[1]
    np.testing.assert_allclose(alone, apply(variables, x).gamma[1], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_gradients_are_finite_on_constant_maps(any_modulator, value):
    x, variables, apply = any_modulator
    gradients = jax.grad(
        lambda variables, x: sum(jnp.sum(part**2) for part in apply(variables, x)), argnums=(0, 1)
    )(variables, jnp.full_like(x, value))
    for path, leaf in jax.tree.leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize("photos", [1, 2, 5, 7])
def test_one_set_of_parameters_serves_any_number_of_images(photos):
    modulator, variables = made(SMALL, noise(1, 3, 2, 2, 6))
    x = noise(2, photos, 3, 4, 6)
    shapes = jax.eval_shape(modulator.apply, variables, x)
    assert (shapes.gamma.shape, shapes.class_logits.shape) == ((2, 3), (2, 5))


@pytest.mark.slow
@pytest.mark.parametrize("pooling", POOLINGS)
def test_gamma_starts_at_its_bias_where_the_group_says_nothing(pooling):
    modulator = SemanticModulator(3, 5, SemanticOptions(pooling, reduced=4, gamma_bias=1.0))
    semantics, _ = jax.jit(modulator.init_with_output)(
        jax.random.key(0), jnp.zeros((1, 2, 2, 2, 6))
    )
    np.testing.assert_array_equal(semantics.gamma, np.ones((1, 3)))


@pytest.mark.slow
def test_both_is_the_sum_of_first_and_second():
    x = noise(1, 3, 2, 2, 6)
    options = SemanticOptions("both", reduced=4)
    modulator, variables = made(options, x)
    parts = [
        SemanticModulator(3, 5, dataclasses.replace(options, pooling=pooling)).apply(variables, x)
        for pooling in ("first", "second")
    ]
    expected = parts[0].gamma + parts[1].gamma
    np.testing.assert_allclose(modulator.apply(variables, x).gamma, expected, rtol=1e-5)


def test_bfloat16_gives_float32_gamma_and_logits():
    modulator = SemanticModulator(3, 5, SMALL, dtype=jnp.bfloat16)
    x = jnp.zeros((1, 2, 2, 2, 6), jnp.bfloat16)
    shapes, _ = jax.eval_shape(modulator.init_with_output, jax.random.key(0), x)
    assert (shapes.gamma.dtype, shapes.class_logits.dtype) == (jnp.float32, jnp.float32)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (dict(pooling="third"), r"model.semantic.pooling is 'third'; .*: second, first, both"),
        (dict(covariance="log"), r"model.semantic.covariance is 'log'; .*: plain, sqrt_l2"),
        (dict(reduced=0), r"model.semantic.reduced is 0; it must be 1 or more"),
    ],
)
def test_bad_options_name_their_field(bad, message):
    with pytest.raises(ValueError, match=message):
        SemanticOptions(**bad)
