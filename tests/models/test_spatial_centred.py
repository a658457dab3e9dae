"""Centred descriptors: S is their principal direction, signed by activation."""

import itertools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models.spatial import SpatialOptions, prompted_prior, spatial_modulator

modulate = jax.jit(spatial_modulator, static_argnums=1)
OPTIONS = SpatialOptions(descriptors="centred", sign="activation")
SOLVERS = ("eigh", "subspace", "squaring")
# N, side, d of the features: fewer, as many and more descriptors than channels
SMALL_SIZES = ((1, 3, 4), (3, 5, 75))
LARGE_SIZES = ((5, 7, 64), (5, 7, 512), (7, 9, 128))
SIZES = (*SMALL_SIZES, *(pytest.param(size, marks=pytest.mark.slow) for size in LARGE_SIZES))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Non-negative features of very different lengths, as a backbone's are, around a large mean."""
    rng = np.random.default_rng(seed)
    lengths = rng.gamma(2.0, 3.0, (*shape[:-1], 1))
    return (5 + lengths * np.maximum(rng.standard_normal(shape), 0)).astype(np.float32)


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features [1, 3, 7, 7, 16] and mask: the object's descriptors are longer, and on the frame."""
    rng = np.random.default_rng(seed)
    inside = np.zeros((1, 3, 7, 7), bool)
    inside[:, :, :4, 2:5] = True
    materials = rng.random((2, 16)) * np.array([[1.0], [3.0]])
    features = materials[inside.astype(int)] + 0.3 * rng.random((*inside.shape, 16))
    return features.astype(np.float32), inside


def singular64(features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left singular vectors [n, k], values and directions [k, d] of the centred descriptors."""
    x = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    return np.linalg.svd(x - x.mean(axis=0), full_matrices=False)


def cosine(values: np.ndarray, expected: np.ndarray) -> float:
    values = np.asarray(values, np.float64).ravel()
    return float(values @ expected / np.linalg.norm(values) / np.linalg.norm(expected))


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_prior_is_the_first_singular_vector(size: tuple[int, int, int], solver: str) -> None:
    images, side, d = size
    features = noise(1, images, side, side, d)
    options = SpatialOptions(descriptors="centred", solver=solver)
    prior = modulate(jnp.asarray(features), options)
    left, singular, _ = singular64(features)
    assert abs(cosine(prior.values, left[:, 0])) > 0.9999
    share = singular[0] ** 2 / np.sum(singular**2)
    assert float(prior.loss[0]) == pytest.approx(-share, rel=1e-3)


def test_no_balanced_clusters_have_a_lower_eq6() -> None:
    """Eq. 6 with d_ij = |f_i - f_j|^2 over all clusters of equal size, relaxed: -2 n s'X'Xs."""
    x = noise(8, 5).astype(np.float64)
    distances = np.sum((x[:, None] - x[None]) ** 2, axis=-1)
    hard = [
        np.array(c) @ distances @ np.array(c)
        for c in itertools.product((-1, 1), repeat=8)
        if sum(c) == 0
    ]
    _, singular, _ = singular64(x)
    assert -2 * 8 * singular[0] ** 2 <= min(hard)
    prior = modulate(jnp.asarray(x, jnp.float32).reshape(1, 2, 2, 2, 5), OPTIONS)
    s = np.asarray(prior.values, np.float64).ravel()  # |s|^2 = n, as that of c
    assert s @ distances @ s == pytest.approx(-2 * 8 * singular[0] ** 2, rel=1e-4)


@pytest.mark.slow
def test_activation_gives_the_sign() -> None:
    """The object touches the frame, so that the border rule takes the background for it."""
    features, inside = scene()
    values = modulate(jnp.asarray(features), OPTIONS).values
    np.testing.assert_array_equal(values > 0, inside)
    inverted = modulate(jnp.asarray(features.max() - features), OPTIONS).values
    np.testing.assert_array_equal(inverted > 0, ~inside)


def test_activation_is_the_total_of_the_principal_direction() -> None:
    features = noise(1, 4, 5, 5, 24)
    left, _, directions = singular64(features)
    signed = left[:, 0] * np.sign(directions[0].sum())
    assert cosine(modulate(jnp.asarray(features), OPTIONS).values, signed) > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_prior_follows_the_order_of_images(solver: str) -> None:
    features, order = jnp.asarray(noise(2, 5, 5, 5, 32)), np.array([3, 0, 4, 1, 2])
    options = SpatialOptions(descriptors="centred", sign="activation", solver=solver)
    plain, permuted = modulate(features, options), modulate(features[:, order], options)
    np.testing.assert_allclose(permuted.values, plain.values[:, order], atol=2e-3)
    np.testing.assert_allclose(permuted.loss, plain.loss, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_prior_depends_neither_on_the_mean_nor_on_the_scale(scale: float) -> None:
    features, _ = scene()
    changed = scale * (features + np.arange(16, dtype=np.float32))
    plain, other = (modulate(jnp.asarray(f), OPTIONS) for f in (features, changed))
    np.testing.assert_allclose(other.values, plain.values, atol=1e-3)
    np.testing.assert_allclose(other.loss, plain.loss, rtol=2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 2, 1), (5, 1, 2)])
def test_any_shape_gives_a_finite_prior_of_mean_square_one(shape: tuple[int, int, int]) -> None:
    prior = modulate(jnp.asarray(noise(1, *shape, 4)), OPTIONS)
    assert float(jnp.mean(prior.values**2)) == pytest.approx(1, rel=1e-4)
    assert np.isfinite(prior.loss).all()


@pytest.mark.slow
def test_it_can_be_exported_for_any_number_of_images() -> None:
    options = SpatialOptions(descriptors="centred", sign="activation", solver="squaring")
    (count,) = jax.export.symbolic_shape("N")
    shape = jax.ShapeDtypeStruct((1, count, 4, 4, 8), jnp.float32)
    exported = jax.export.export(jax.jit(lambda f: spatial_modulator(f, options)))(shape)
    features = jnp.asarray(noise(1, 3, 4, 4, 8))
    expected = modulate(features, options)
    np.testing.assert_allclose(exported.call(features).values, expected.values, atol=1e-4)


@pytest.mark.slow
def test_equal_descriptors_give_a_finite_prior_and_gradient() -> None:
    options = SpatialOptions(descriptors="centred", sign="activation", gradient="implicit")

    def objective(features: jax.Array) -> jax.Array:
        prior = spatial_modulator(features, options)
        return jnp.sum(prior.values**3) + jnp.sum(prior.loss)

    value, slope = jax.value_and_grad(objective)(jnp.full((1, 2, 3, 3, 4), 0.7))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["eigh", "subspace"])
def test_implicit_gradient_is_that_of_the_singular_vector(solver: str) -> None:
    """Compared with central differences of float64 singular vectors."""
    features, _ = scene()
    weights = np.random.default_rng(1).random(features.shape[:-1]).astype(np.float32)
    options = SpatialOptions(
        descriptors="centred", sign="activation", solver=solver, gradient="implicit", damping=1e-6
    )

    def objective(features: jax.Array) -> jax.Array:
        return jnp.sum(weights * spatial_modulator(features, options).values)

    def expected(features: np.ndarray) -> float:
        left, _, directions = singular64(features)
        s = left[:, 0] * np.sign(directions[0].sum())
        return float(weights.ravel() @ s * len(s) ** 0.5)

    slope = jax.jit(jax.grad(objective))(jnp.asarray(features))
    for seed in range(3):
        step = 1e-5 * np.random.default_rng(seed).standard_normal(features.shape)
        exact = features.astype(np.float64)
        difference = (expected(exact + step) - expected(exact - step)) / 2
        assert float(jnp.sum(slope * step)) == pytest.approx(difference, rel=5e-3)


@pytest.mark.slow
def test_loss_gradient_is_that_of_the_share_of_variance() -> None:
    features = noise(1, 2, 3, 3, 5)

    def share(features: np.ndarray) -> float:
        _, singular, _ = singular64(features)
        return float(singular[0] ** 2 / np.sum(singular**2))

    slope = jax.grad(lambda f: jnp.sum(spatial_modulator(f, OPTIONS).loss))(jnp.asarray(features))
    for seed in range(3):
        step = 1e-4 * np.random.default_rng(seed).standard_normal(features.shape)
        exact = features.astype(np.float64)
        difference = -(share(exact + step) - share(exact - step)) / 2
        assert float(jnp.sum(slope * step)) == pytest.approx(difference, rel=1e-2)


@pytest.mark.slow
def test_prompted_prior_is_higher_on_cells_like_the_prompted_region() -> None:
    """S of the wrong sign is turned, and the prompted kind of cell stands out in every image."""
    features, inside = scene()
    wrong = -np.asarray(modulate(jnp.asarray(features), OPTIONS).values[0])
    shown = np.zeros(inside[0].shape, np.float32)
    shown[1] = inside[0, 1] / inside[0, 1].sum(dtype=np.float32)
    found = np.asarray(prompted_prior(features[0], wrong, shown, np.zeros_like(shown)))
    np.testing.assert_array_equal(found > 0, inside[0])
    assert np.mean(found**2) == pytest.approx(1, rel=1e-4)


def test_prompted_prior_is_lower_on_cells_like_the_excluded_region() -> None:
    """Also where nothing else was shown, and S has the excluded kind positive."""
    features, inside = scene()
    prior = np.asarray(modulate(jnp.asarray(features), OPTIONS).values[0])
    excluded = np.zeros(inside[0].shape, np.float32)
    excluded[1] = inside[0, 1] / inside[0, 1].sum(dtype=np.float32)
    found = np.asarray(prompted_prior(features[0], prior, np.zeros_like(excluded), excluded))
    np.testing.assert_array_equal(found < 0, inside[0])
