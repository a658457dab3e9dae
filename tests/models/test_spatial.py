"""The spatial modulator: its objective by brute force, sign, scale and corner cases."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.models import spatial
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator

modulate = jax.jit(spatial_modulator, static_argnums=1)
OPTIONS = SpatialOptions()
SOLVERS = ("eigh", "subspace")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Non-negative features without structure."""
    return np.maximum(np.random.default_rng(seed).standard_normal(shape), 0).astype(np.float32)


def scene(
    side: int = 6, images: int = 3, d: int = 16, seed: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Features [1, N, h, w, d] of two materials, and the mask of the object [1, N, h, w]."""
    rng = np.random.default_rng(seed)
    inside = np.zeros((1, images, side, side), bool)
    for image, (top, left) in enumerate(rng.integers(1, 3, (images, 2))):
        inside[0, image, top : top + side // 2, left : left + side // 2] = True
    materials = rng.random((2, d))
    features = materials[inside.astype(int)] + 0.1 * rng.random((*inside.shape, d))
    return jnp.asarray(features, jnp.float32), jnp.asarray(inside)


def gram64(features: np.ndarray) -> np.ndarray:
    x = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
    x = x / np.sqrt(np.sum(x**2, axis=1, keepdims=True) + OPTIONS.epsilon)
    return x @ x.T - 1


def eigenvector64(features: np.ndarray) -> np.ndarray:
    return np.linalg.eigh(gram64(features))[1][:, -1]


def eq6(x: np.ndarray, clusters: tuple[int, ...]) -> float:
    """Eq. 6 as printed, with sums over ordered pairs: an (f, b) pair also counts as (b, f)."""
    total = 0.0
    for i, j in itertools.product(range(len(x)), repeat=2):
        distance = np.sum((x[i] - x[j]) ** 2)
        total += distance if clusters[i] == clusters[j] else -distance
    return total


def test_eq6_eq8_and_eq9_agree_for_every_pair_of_clusters() -> None:
    x = np.random.default_rng(0).random((6, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    n, gram = len(x), x @ x.T - 1
    distances = 2 - 2 * x @ x.T
    for clusters in itertools.product((-1, 1), repeat=n):
        s = np.array(clusters) / np.sqrt(n)
        brute = eq6(x, clusters)
        assert n * s @ distances @ s == pytest.approx(brute)
        assert -2 * n * s @ gram @ s == pytest.approx(brute)


def test_no_pair_of_clusters_has_a_lower_loss() -> None:
    features = noise(1, 1, 3, 3, 5)
    gram = gram64(features)
    loss = float(modulate(jnp.asarray(features), OPTIONS).loss[0])
    hard = [-np.array(c) @ gram @ np.array(c) / 81 for c in itertools.product((-1, 1), repeat=9)]
    assert loss < min(hard)
    assert loss > 2 * min(hard)


def test_loss_is_the_eigenvalue_over_n() -> None:
    features = noise(1, 2, 4, 4, 8)
    top = np.linalg.eigvalsh(gram64(features))[-1]
    assert float(modulate(jnp.asarray(features), OPTIONS).loss[0]) == pytest.approx(
        -top / 32, rel=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_object_of_a_scene_is_found(solver: str) -> None:
    features, inside = scene(side=7)
    prior = modulate(features, SpatialOptions(solver=solver))
    np.testing.assert_array_equal(prior.values > 0, inside)


def test_two_uniform_images_are_told_apart() -> None:
    """The problem is the group's: each image alone is uniform, only the group has two parts."""
    features = jnp.ones((1, 2, 3, 3, 4)).at[0, 0, ..., 0].set(5)
    values = modulate(features, OPTIONS).values
    assert np.ptp(values[0, 0]) < 1e-3
    np.testing.assert_allclose(values[0, 0], -values[0, 1], atol=1e-3)


@pytest.mark.parametrize(("scale", "expected"), [("sqrt_n", 1.0), ("unit", 1 / 48)])
def test_scale_sets_the_mean_square(scale: str, expected: float) -> None:
    features = jnp.asarray(noise(1, 3, 4, 4, 8))
    values = modulate(features, SpatialOptions(scale=scale)).values
    assert float(jnp.mean(values**2)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_border_rule_holds_for_objects_of_any_size() -> None:
    """It finds one that covers most of each image, unlike the rule of the smaller part."""
    inside = np.zeros((1, 2, 10, 10), bool)
    inside[:, :, 1:-1, 1:-1] = True
    features = jnp.asarray(np.eye(4)[inside.astype(int)], jnp.float32)
    border = modulate(features, SpatialOptions(sign="border")).values
    minority = modulate(features, SpatialOptions(sign="majority")).values
    np.testing.assert_array_equal(border > 0, inside)
    np.testing.assert_array_equal(minority > 0, ~inside)


def test_border_rule_is_decided_by_the_whole_group() -> None:
    """An image whose object touches the frame follows the others."""
    inside = np.zeros((1, 3, 6, 6), bool)
    inside[0, 0, 0, :3] = True
    inside[0, 1:, 2:4, 2:4] = True
    features = jnp.asarray(np.eye(4)[inside.astype(int)], jnp.float32)
    np.testing.assert_array_equal(modulate(features, OPTIONS).values > 0, inside)


@pytest.mark.parametrize("shape", [(1, 9), (2, 5), (9, 2), (1, 1)])
def test_without_an_interior_the_smaller_part_is_the_foreground(shape: tuple[int, int]) -> None:
    images = 12 if shape == (1, 1) else 1
    part = np.arange(images * shape[0] * shape[1]) % 4 == 0
    part = part.reshape(1, images, *shape)
    features = jnp.asarray(np.eye(3)[part.astype(int)], jnp.float32)
    np.testing.assert_array_equal(modulate(features, OPTIONS).values > 0, part)


def test_without_a_smaller_part_the_sign_follows_the_features() -> None:
    features = jnp.asarray(np.eye(2, 6).reshape(1, 2, 1, 1, 6), jnp.float32)
    plain = modulate(features, OPTIONS).values
    swapped = modulate(features[:, ::-1], OPTIONS).values
    np.testing.assert_allclose(plain, swapped[:, ::-1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_prior_follows_the_order_of_images_and_groups(solver: str) -> None:
    features = jnp.asarray(noise(2, 5, 5, 5, 32))
    options = SpatialOptions(solver=solver)
    plain, order = modulate(features, options), np.array([3, 0, 4, 1, 2])
    permuted = modulate(features[::-1, order], options)
    expected = plain.values[::-1, order]
    np.testing.assert_allclose(permuted.values, expected, atol=2e-3)
    np.testing.assert_allclose(permuted.loss, plain.loss[::-1], rtol=1e-4)


@pytest.mark.slow
def test_solvers_give_the_same_prior() -> None:
    features = jnp.asarray(noise(1, 5, 7, 7, 64))
    eigh, subspace = (modulate(features, SpatialOptions(solver=s)).values for s in SOLVERS)
    np.testing.assert_allclose(eigh, subspace, atol=5e-3)


def test_auto_switches_solvers_at_dense_max(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for name in ("dense_eigenvector", "subspace_eigenvector"):
        monkeypatch.setattr(
            spatial.eigen, name, lambda x, name=name, **_: called.append(name) or x[:, 0]
        )
    options = SpatialOptions(dense_max=8)
    spatial.solve(jnp.ones((8, 2)), options)
    spatial.solve(jnp.ones((9, 2)), options)
    assert called == ["dense_eigenvector", "subspace_eigenvector"]


def test_features_of_any_scale_give_the_same_prior() -> None:
    features, _ = scene()
    small, large = modulate(features * 0.1, OPTIONS), modulate(features * 1000, OPTIONS)
    np.testing.assert_allclose(small.values, large.values, atol=1e-3)


def test_bfloat16_features_are_solved_in_float32() -> None:
    features = jnp.asarray(noise(1, 2, 5, 5, 16)).astype(jnp.bfloat16)
    prior = modulate(features, OPTIONS)
    assert prior.values.dtype == prior.loss.dtype == jnp.float32
    cosine = eigenvector64(np.asarray(features, np.float32)) @ np.asarray(prior.values).ravel()
    assert abs(cosine) / 50**0.5 > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 3, 3), (5, 1, 2)])
@pytest.mark.parametrize("d", [1, 4])
def test_any_shape_gives_a_finite_prior_of_mean_square_one(
    shape: tuple[int, int, int], d: int
) -> None:
    prior = modulate(jnp.asarray(noise(1, *shape, d)), OPTIONS)
    assert prior.values.shape == (1, *shape)
    assert float(jnp.mean(prior.values**2)) == pytest.approx(1, rel=1e-4)
    assert np.isfinite(prior.loss).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("descriptors", "raw"),
        ("solver", "power"),
        ("sign", "positive"),
        ("scale", "n"),
        ("gradient", "full"),
        ("dense_max", -1),
        ("block_size", 2),
        ("iterations", 0),
        ("damping", 0.0),
        ("epsilon", -1e-6),
    ],
)
def test_an_invalid_option_is_named(field: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"model\.spatial\.{field} is"):
        dataclasses.replace(OPTIONS, **{field: value})
