"""The eigen-solvers agree with float64 dense solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models import eigen

SOLVERS = {
    "dense": jax.jit(eigen.dense_eigenvector),
    "subspace": jax.jit(lambda x: eigen.subspace_eigenvector(x, block_size=4, iterations=160)),
    "squaring": jax.jit(eigen.squared_eigenvector),
}
KINDS = ("noisy", "clustered", "duplicated", "half zero")


def unit_rows(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return (x / np.where(length > 0, length, 1)).astype(np.float32)


def descriptors(kind: str, n: int, d: int) -> np.ndarray:
    """Unit rows in float32 [n, d]; non-negative, as after a ReLU, for d > 1."""
    rng = np.random.default_rng([n, d])
    noise = np.maximum(rng.standard_normal((n, d)), 0)
    if kind == "clustered":
        centres = rng.random((3, d)) if d > 1 else np.array([[1.0], [-1.0], [-1.0]])
        noise = centres[rng.integers(0, 3, n)] + 0.3 * noise
    elif kind == "duplicated":
        noise = noise[rng.integers(0, n // 3 + 1, n)]
    elif kind == "half zero":
        noise[::2] = 0
    return unit_rows(noise)


def dense_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The eigenvalues of G in ascending order, and its eigenvectors, in float64."""
    x = x.astype(np.float64)
    return np.linalg.eigh(x @ x.T - 1)


def reduced_reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenvalues and their vectors, for n too large for a dense solution.

    G = M J M' with M = [x, 1] and J = diag(1, ..., 1, -1). With M = Q R it equals Q (R J R') Q',
    an eigenproblem of d + 1 rows. Its z gives s = Q z = G s / value = M J R'z / value.
    """
    m = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)
    r, signs = np.asarray(np.linalg.qr(m, mode="r")), np.append(np.ones(x.shape[1]), -1)
    values, vectors = np.linalg.eigh((r * signs) @ r.T)
    return values[-2:], m @ (signs[:, None] * (r.T @ vectors[:, -2:])) / values[-2:]


def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, d = x.shape
    return reduced_reference(x) if n > d + 1 else dense_reference(x)


def alignment(s: np.ndarray, values: np.ndarray, vectors: np.ndarray) -> float:
    """The cosine between s and the top eigenspace."""
    top = values > values[-1] - 1e-6 * max(1, abs(values[-1]))
    return float(np.linalg.norm(vectors[:, top].T @ s))


def rayleigh(s: np.ndarray, x: np.ndarray) -> float:
    return float(np.sum((s @ x.astype(np.float64)) ** 2) - np.sum(s) ** 2)


def run(solver: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(SOLVERS[solver](jnp.asarray(x)), np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(500, 8), (500, 128)])
def test_the_reduced_reference_equals_the_dense_one(kind: str, n: int, d: int) -> None:
    x = descriptors(kind, n, d)
    values, vectors = dense_reference(x)
    small_values, small_vectors = reduced_reference(x)
    assert small_values[-1] == pytest.approx(values[-1], rel=1e-10)
    assert abs(small_vectors[:, -1] @ vectors[:, -1]) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 8, 512])
@pytest.mark.parametrize("n", [1, 2, 5, 49])
def test_the_dense_solver_on_few_descriptors(n: int, d: int, kind: str) -> None:
    x = descriptors(kind, n, d)
    assert alignment(run("dense", x), *dense_reference(x)) > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["dense", "squaring"])
def test_solvers_that_form_G_on_many_descriptors(solver: str, kind: str) -> None:
    x = descriptors(kind, 245, 512)
    assert alignment(run(solver, x), *dense_reference(x)) > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(1, 8), (2, 8), (9, 32), (49, 8), (49, 512)])
def test_squaring_on_few_descriptors(n: int, d: int, kind: str) -> None:
    x = descriptors(kind, n, d)
    assert alignment(run("squaring", x), *dense_reference(x)) > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d"),
    [
        *[(65, 1), (4000, 1)],
        *[(49, 8), (980, 8), (4000, 8)],
        *[(65, 512), (245, 512), (513, 512), (980, 512), (4000, 512)],
    ],
)
def test_the_subspace_solver(n: int, d: int, kind: str) -> None:
    x = descriptors(kind, n, d)
    assert alignment(run("subspace", x), *reference(x)) > 0.9999


@pytest.mark.slow
def test_the_subspace_solver_resolves_a_small_gap() -> None:
    """Two eigenvalues of noise are 0.2% apart, at the edge of a continuum of others."""
    x = unit_rows(np.random.default_rng(7).random((4000, 512)))
    values, vectors = reference(x)
    assert 1e-3 < (values[-1] - values[-2]) / values[-1] < 3e-3
    assert alignment(run("subspace", x), values, vectors) > 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_solution_lies_in_a_multiple_top_eigenspace(solver: str) -> None:
    """With three orthogonal clusters of the same size, the largest eigenvalue occurs twice."""
    x = unit_rows(np.repeat(np.eye(3, 16), 60, axis=0))
    values, vectors = dense_reference(x)
    assert values[-1] - values[-2] < 1e-9
    s = run(solver, x)
    assert np.linalg.norm(vectors[:, -2:].T @ s) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(s, run(solver, x))


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_zero_descriptors_give_a_vector_orthogonal_to_the_constant(solver: str) -> None:
    """For G = -11', every vector orthogonal to the constant has the largest eigenvalue, 0."""
    s = run(solver, np.zeros((245, 8), np.float32))
    assert np.linalg.norm(s) == pytest.approx(1, abs=1e-5)
    assert abs(s.sum()) / 245**0.5 < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", [2, 245, 980])
def test_identical_descriptors_give_a_unit_vector_of_the_largest_eigenvalue(
    solver: str, n: int
) -> None:
    """G = 0 except for rounding of size 1e-7 in each of its n^2 entries."""
    if solver != "subspace" and n > 245:
        pytest.skip("takes seconds")
    x = unit_rows(np.tile(np.random.default_rng(0).random((1, 16)), (n, 1)))
    s = run(solver, x)
    assert np.linalg.norm(s) == pytest.approx(1, abs=1e-5)
    assert abs(rayleigh(s, x)) < 2e-7 * n


@pytest.mark.slow
def test_the_eigenvalue_of_largest_magnitude_is_the_wrong_one() -> None:
    """With non-negative features it is negative and its eigenvector is near the constant one."""
    x = descriptors("clustered", 245, 64)
    values, vectors = dense_reference(x)
    largest = np.argmax(np.abs(values))
    assert values[largest] < -2 * values[-1]
    assert abs(vectors[:, largest].sum()) / 245**0.5 > 0.95
    assert abs(run("subspace", x) @ vectors[:, largest]) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_solution_follows_a_permutation(solver: str) -> None:
    x = descriptors("clustered", 180, 64)
    order = np.random.default_rng(1).permutation(len(x))
    s, permuted = run(solver, x), run(solver, x[order])
    assert abs(s[order] @ permuted) == pytest.approx(1, abs=1e-5)


def test_the_orthonormal_complement_drops_what_the_basis_contains() -> None:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((40, 3)))[0].T
    new = rng.standard_normal((1, 40))
    block = np.concatenate([basis[:1], new, 2 * new - basis[1:2]]).astype(np.float32)
    found = np.asarray(eigen.orthonormal_complement(jnp.asarray(block), jnp.asarray(basis)))
    lengths = np.sort(np.linalg.norm(found, axis=1))
    np.testing.assert_allclose(lengths, [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(found @ basis.T, 0, atol=1e-6)


@pytest.mark.slow
def test_solve_on_complement_is_the_damped_inverse() -> None:
    x = descriptors("clustered", 30, 8)
    values, vectors = dense_reference(x)
    s, v = vectors[:, -1], np.random.default_rng(0).standard_normal(30)
    shift = values[-1] * (1 + 0.05)
    expected = vectors[:, :-1] @ ((vectors[:, :-1].T @ v) / (shift - values[:-1]))
    arrays = [jnp.asarray(a, jnp.float32) for a in (x, s, v)]
    found = eigen.solve_on_complement(*arrays, damping=0.05)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
