"""Gradients of the spatial modulator against float64 differences, and where eigenvalues meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator

SOLVERS = ("eigh", "subspace")
DEGENERATE = ("zero", "identical", "duplicated", "half zero", "one-hot")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Non-negative features without structure."""
    return np.maximum(np.random.default_rng(seed).standard_normal(shape), 0).astype(np.float32)


def scene() -> jax.Array:
    """A square of one material before another in three images [1, 3, 6, 6, 16]."""
    rng = np.random.default_rng(0)
    inside = np.zeros((1, 3, 6, 6), int)
    inside[:, :, 2:5, 1:4] = 1
    features = rng.random((2, 16))[inside] + 0.1 * rng.random((*inside.shape, 16))
    return jnp.asarray(features, jnp.float32)


def degenerate(kind: str, images: int, side: int, d: int = 8) -> jax.Array:
    features = noise(1, images, side, side, d)
    if kind == "zero":
        features[:] = 0
    elif kind == "identical":
        features[:] = features[0, 0, 0, 0] + 0.1
    elif kind == "duplicated":
        features[:] = features[:, :1]
    elif kind == "half zero":
        features[:, :, ::2] = 0
    else:
        features[:] = np.eye(d)[np.random.default_rng(0).integers(0, 3, features.shape[:-1])]
    return jnp.asarray(features)


def gram64(features: np.ndarray) -> np.ndarray:
    x = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    x = x / np.sqrt(np.sum(x**2, axis=1, keepdims=True) + SpatialOptions().epsilon)
    return x @ x.T - 1


def eigenvector64(features: np.ndarray) -> np.ndarray:
    return np.linalg.eigh(gram64(features))[1][:, -1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("gradient", ["stop", "implicit"])
@pytest.mark.parametrize(("images", "side"), [(1, 1), (2, 3), (2, 8)])
def test_degenerate_descriptors_have_bounded_gradients(
    kind: str, solver: str, gradient: str, images: int, side: int
) -> None:
    features = degenerate(kind, images, side)
    options = SpatialOptions(solver=solver, gradient=gradient)
    weights = jnp.asarray(noise(1, images, side, side))

    def objective(features: jax.Array) -> jax.Array:
        prior = spatial_modulator(features, options)
        return jnp.mean(weights * prior.values) + jnp.sum(prior.loss)

    value, slope = jax.jit(jax.value_and_grad(objective))(features)
    assert np.isfinite(value)
    steepest = 1 / options.damping * options.epsilon**-0.5
    assert float(jnp.max(jnp.abs(slope))) < steepest


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["stop", "implicit"])
def test_loss_gradient_is_that_of_the_eigenvalue(gradient: str) -> None:
    """Against central differences of float64 dense eigenvalues, normalisation included."""
    features = noise(1, 2, 3, 3, 5)
    options = SpatialOptions(gradient=gradient)
    slope = jax.grad(lambda f: jnp.sum(spatial_modulator(f, options).loss))(jnp.asarray(features))
    for seed in range(3):
        step = 1e-5 * np.random.default_rng(seed).standard_normal(features.shape)
        ends = [-np.linalg.eigvalsh(gram64(features + s * step))[-1] / 18 for s in (1, -1)]
        assert float(jnp.sum(slope * step)) == pytest.approx((ends[0] - ends[1]) / 2, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_implicit_gradient_is_that_of_the_eigenvector(solver: str) -> None:
    """Against central differences of float64 dense eigenvectors, where the gap is healthy."""
    features = scene()
    weights = noise(*features.shape[:-1])
    options = SpatialOptions(solver=solver, gradient="implicit", damping=1e-6)

    def objective(features: jax.Array) -> jax.Array:
        return jnp.sum(weights * spatial_modulator(features, options).values)

    slope = jax.jit(jax.grad(objective))(features)
    prior = np.asarray(spatial_modulator(features, options).values, np.float64).ravel()
    for seed in range(3):
        step = 1e-5 * np.random.default_rng(seed).standard_normal(features.shape)
        ends = []
        for side in (1, -1):
            s = eigenvector64(np.asarray(features, np.float64) + side * step)
            ends.append(weights.ravel() @ s * np.sign(s @ prior) * len(s) ** 0.5)
        assert float(jnp.sum(slope * step)) == pytest.approx((ends[0] - ends[1]) / 2, rel=5e-3)


@pytest.mark.slow
def test_implicit_gradient_stays_bounded_as_the_gap_closes() -> None:
    """Three orthogonal clusters of the same size, with a perturbation that goes to zero."""
    clusters = np.eye(3, 6)[np.arange(36) % 3].reshape(1, 1, 6, 6, 6)
    weights, bump = noise(1, 1, 6, 6), noise(*clusters.shape, seed=1)
    options = SpatialOptions(gradient="implicit", damping=0.01)

    def steepness(size: float) -> float:
        features = jnp.asarray(clusters + size * bump, jnp.float32)
        slope = jax.grad(lambda f: jnp.sum(weights * spatial_modulator(f, options).values))
        return float(jnp.linalg.norm(slope(features)))

    slopes = [steepness(size) for size in (1e-2, 1e-4, 1e-6, 0.0)]
    bound = 2 * np.linalg.norm(weights) * 36**0.5 / options.damping
    assert max(slopes) < bound / 12**0.5  # |u| <= |v| / (damping * lambda), |x's|^2 = lambda = 12


@pytest.mark.slow
def test_stop_gradient_is_the_default() -> None:
    features = scene()
    slope = jax.grad(lambda f: jnp.sum(spatial_modulator(f, SpatialOptions()).values ** 3))(
        features
    )
    np.testing.assert_array_equal(slope, 0)
