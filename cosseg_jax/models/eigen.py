"""The unit eigenvector of the largest algebraic eigenvalue of G = X'X - 11' (eq. 10).

Below, `x` holds one descriptor per row, [n, d]: it is X' of the paper, so G = x x' - 11'. The
vectors of a block or basis are rows too, [k, n]: on CPU these products are many times faster.

Facts that the solvers rely on:

- On vectors orthogonal to the constant one, G is positive semidefinite, so G has at most one
  negative eigenvalue. With non-negative features, that one has the largest magnitude (up to n) and
  its eigenvector is near the constant one: plain power iteration finds it, and it is the wrong one.
- A Krylov space converges towards both ends of the spectrum, which the sign of the Ritz values
  tells apart, so the largest algebraic eigenvalue needs no spectral shift.
- The largest eigenvalue is never negative for n >= 2, and 0 only if all descriptors are the same.

`subspace_eigenvector` never forms G. It grows an orthonormal basis block by block (block Lanczos
with full reorthogonalisation), takes the best vectors in it by Rayleigh-Ritz, and starts again
from these (thick restart) until the residual is small. Everything runs in float32 with full
matrix-product precision.

CPU milliseconds of one group with 512 channels, and (in brackets) the cosine to a float64 solution
where it is below 0.99999; by benchmarks/eigen.py on two cores:

    n     descriptors  subspace   eigh   squaring     LOBPCG, 4 vectors  LOBPCG, 1 vector
    245   clustered           4    121         21                    22               2
    245   noise               8     53         18                    29              13
    980   clustered          12   2018       1017                    78               4
    980   noise              59   1522        883                   106              45 (0.99968)
    3920  clustered         250  38796      49051                   439              27 (0.99991)
    3920  noise             300  42269      49230 (0.99996)         307 (0.99854)   140 (0.16303)

LOBPCG is JAX's own, which starts from our first block or from one random vector. It is not used, as
it stops at vectors that are not accurate enough where eigenvalues are close to each other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

HIGHEST = jax.lax.Precision.HIGHEST
BLOCKS = 7  # blocks by which a basis grows between two restarts
RESIDUAL = 5e-6  # over 1 + eigenvalue, to stop at; divided by the relative gap, the error angle
DEPENDENT = 1e-6  # squared length, of unit rows, below which a direction is only rounding
SQUARINGS = 24  # enough to separate eigenvalues that float32 can tell apart
CG_STEPS = 64  # of the implicit derivative
MISSING = -1.0  # in place of a Ritz value; the best actual one is never negative


def matmul(a: Float[Array, "a b"], b: Float[Array, "b c"]) -> Float[Array, "a c"]:
    """Matrix product in true float32, even on devices that would round to TF32 or bfloat16."""
    return jnp.matmul(a, b, precision=HIGHEST)


def gram_product(x: Float[Array, "n d"], v: Float[Array, "k n"]) -> Float[Array, "k n"]:
    """G v = x (x' v) - 1 (1' v) for each row v, at a cost of 4 n d k operations."""
    return matmul(matmul(v, x), x.T) - jnp.sum(v, axis=1, keepdims=True)


def probe(d: int, k: int) -> Float[Array, "d k"]:
    """Fixed directions in feature space.

    A result of x @ probe follows every permutation of the descriptors, unlike a random vector over
    positions.
    """
    return jax.random.normal(jax.random.key(0), (d, k))


def first_block(x: Float[Array, "n d"], size: int) -> Float[Array, "k n"]:
    """The constant vector, near that of the negative eigenvalue, and k - 1 deterministic starts.

    All but one of these are combinations of the features: the top eigenvector lies in the span of
    the features and the constant whenever its eigenvalue is positive. One depends on the position,
    so that a direction remains where all descriptors are zero or the same.
    """
    n, d = x.shape
    position = jnp.cos(jnp.arange(n, dtype=x.dtype) ** 2)
    starts = jnp.concatenate([position[None], matmul(probe(d, size - 2).T, x.T)])
    starts = starts - jnp.mean(starts, axis=1, keepdims=True)
    return jnp.concatenate([jnp.ones((1, n), x.dtype), starts])  # [k, n]


def orthonormal_rows(w: Float[Array, "k n"], least: float) -> Float[Array, "k n"]:
    """An orthonormal basis of the rows of w, with zero rows for missing dimensions.

    It uses the k x k Gram matrix. Unlike QR it invents no directions: those in w of squared length
    below `least` become zero rows.
    """
    values, vectors = jnp.linalg.eigh(matmul(w, w.T))
    keep = values > least
    inverse = jnp.where(keep, jax.lax.rsqrt(jnp.where(keep, values, 1)), 0)
    return matmul((vectors * inverse[None, :]).T, w)


def orthonormal_complement(
    w: Float[Array, "k n"], basis: Float[Array, "m n"]
) -> Float[Array, "k n"]:
    """An orthonormal basis of the rows of w that are orthogonal to `basis` up to rounding.

    The second pass corrects the rounding of the first and drops rows that were nothing else.
    """
    length = jnp.sqrt(jnp.sum(w**2, axis=1, keepdims=True))
    w = orthonormal_rows(w / jnp.where(length > 0, length, 1), least=DEPENDENT)
    return orthonormal_rows(w - matmul(matmul(w, basis.T), basis), least=0.1)


class Ritz(NamedTuple):
    """Approximate eigenvectors, best first, with their values and residuals G v - value v.

    vectors: orthonormal; a zero row with value MISSING for each that the basis has no room for.
    """

    vectors: Float[Array, "k n"]
    values: Float[Array, " k"]
    residuals: Float[Array, "k n"]


def rayleigh_ritz(x: Float[Array, "n d"], vectors: Float[Array, "k n"]) -> Ritz:
    """The best approximations in the span of orthonormal vectors.

    For neighbours at the top of the spectrum the rounding error is relative to their own
    eigenvalues. In a larger projection it is relative to the negative eigenvalue, which may be a
    thousand times larger.
    """
    images = gram_product(x, vectors)
    projected = mark_missing(matmul(vectors, images.T), vectors)
    values, mix = jnp.linalg.eigh(projected)
    values, turn = values[::-1], mix[:, ::-1].T
    vectors, images = matmul(turn, vectors), matmul(turn, images)
    return Ritz(vectors, values, images - values[:, None] * vectors)


def mark_missing(projected: Float[Array, "m m"], basis: Float[Array, "m n"]) -> Float[Array, "m m"]:
    """Symmetric, with MISSING on the diagonal where the basis has a zero row."""
    missing = jnp.sum(basis**2, axis=1) < 0.5
    return (projected + projected.T) / 2 + jnp.diag(jnp.where(missing, MISSING, 0.0))


def grow(
    x: Float[Array, "n d"],
    vectors: Float[Array, "k n"],
    values: Float[Array, " k"],
    block: Float[Array, "k n"],
) -> tuple[Float[Array, "m n"], Float[Array, "m m"]]:
    """Extends Ritz vectors by the block and BLOCKS - 1 more, each from G times the one before.

    Returns the orthonormal basis and the projection of G on it.
    """
    basis = jnp.concatenate([vectors, block])
    projected = jnp.diag(values)  # [k, k]
    for step in range(BLOCKS):
        k = block.shape[0]
        image = gram_product(x, block)
        inside = matmul(image, basis.T)  # [k, m]
        old, corner = inside[:, :-k], inside[:, -k:]
        projected = jnp.block([[projected, old.T], [old, corner]])  # [m, m]
        if step < BLOCKS - 1:
            outside = image - matmul(inside, basis)
            block = orthonormal_complement(outside, basis)
            basis = jnp.concatenate([basis, block])
    return basis, mark_missing(projected, basis)


def improve(x: Float[Array, "n d"], ritz: Ritz) -> Ritz:
    """One restart: grows a basis from the residuals and keeps the k best vectors in it."""
    k = ritz.values.shape[0]
    block = orthonormal_complement(ritz.residuals, ritz.vectors)
    basis, projected = grow(x, ritz.vectors, ritz.values, block)
    mix = jnp.linalg.eigh(projected)[1][:, -k:]  # [m, k]
    return rayleigh_ritz(x, matmul(mix.T, basis))


def dense_eigenvector(x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The solution from the full G; the fastest one for small n."""
    vectors = jnp.linalg.eigh(matmul(x, x.T) - 1)[1][:, -4:].T  # [min(4, n), n]
    return unit(rayleigh_ritz(x, vectors).vectors[0])


def subspace_eigenvector(
    x: Float[Array, "n d"], *, block_size: int, iterations: int
) -> Float[Array, " n"]:
    """The matrix-free solution; the dense one where n is too small for the basis.

    Args:
        x: descriptors of length 1 (or 0), one a row.
        block_size: k >= 3, vectors multiplied at once.
        iterations: the most products of G and a block; rounded up to whole restarts.
    """
    n = x.shape[0]
    if isinstance(n, int) and n <= 2 * block_size * (
        BLOCKS + 1
    ):  # in an export for any N, n is symbolic
        return dense_eigenvector(x)

    def unfinished(state: tuple[Int[Array, ""], Ritz]) -> Bool[Array, ""]:
        restarts, ritz = state
        error = jnp.sum(ritz.residuals[0] ** 2)
        return (error > (RESIDUAL * (1 + ritz.values[0])) ** 2) & (
            restarts * (BLOCKS + 1) < iterations
        )

    first = first_block(x, block_size)
    start = rayleigh_ritz(x, orthonormal_complement(first, jnp.zeros_like(first)))
    _, ritz = jax.lax.while_loop(
        unfinished, lambda state: (state[0] + 1, improve(x, state[1])), (jnp.array(0), start)
    )
    return unit(ritz.vectors[0])


def squared_eigenvector(x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The solution by squaring G + c I repeatedly: a fixed number of matrix products.

    It is for runtimes without eigenvalues and loops. It forms G; a squaring takes 2 n^3 operations.

    c makes the matrix positive semidefinite, so that the negative eigenvalue does not win. On the
    constant vector and its complement, G is [[a, b'], [b, K]] with K >= 0, so its eigenvalues are
    at least those of [[a, -|b|], [-|b|, 0]].
    """
    n = x.shape[0]
    gram = matmul(x, x.T) - 1
    means = jnp.mean(gram, axis=1)
    a = jnp.sum(means)
    b = jnp.sqrt(jnp.sum((means - jnp.mean(means)) ** 2) * n)  # its length
    shift = (jnp.sqrt(a**2 + 4 * b**2) - a) / 2 + DEPENDENT  # so that it is never a matrix of zeros
    power = gram + shift * jnp.eye(n)
    for _ in range(SQUARINGS):
        power = power / jnp.sqrt(jnp.sum(power**2))
        power = matmul(power, power)
    found = matmul(first_block(x, 4), power)  # [4, n], each a multiple of the eigenvector
    lengths = jnp.sum(found**2, axis=1, keepdims=True)  # [4, 1]
    return unit(jnp.sum(jnp.where(lengths == jnp.max(lengths), found, 0), axis=0))


def unit(v: Float[Array, " n"]) -> Float[Array, " n"]:
    """v at length 1."""
    return v / jnp.sqrt(jnp.sum(v**2))


def solve_on_complement(
    x: Float[Array, "n d"], s: Float[Array, " n"], v: Float[Array, " n"], *, damping: float
) -> Float[Array, " n"]:
    """u orthogonal to s with ((lambda + damping * max(lambda, 1)) I - G) u = v - s (s'v).

    s is the top eigenvector and lambda = s'Gs. It takes CG_STEPS of conjugate gradients, which no
    longer change u once they have converged.
    """

    def project(u: Float[Array, " n"]) -> Float[Array, " n"]:
        return u - s * jnp.sum(s * u)

    value = jnp.sum(s * gram_product(x, s[None])[0])
    shift = value + damping * jnp.maximum(value, 1.0)

    def step(_: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        u, rest, direction = state
        image = project(shift * direction - gram_product(x, direction[None])[0])
        length, curvature = jnp.sum(rest**2), jnp.sum(direction * image)
        going = (length > smallest) & (curvature > 0)
        stride = jnp.where(going, length / jnp.where(going, curvature, 1), 0)
        rest = rest - stride * image
        turn = jnp.where(going, jnp.sum(rest**2) / jnp.where(going, length, 1), 0)
        return u + stride * direction, rest, jnp.where(going, rest + turn * direction, 0)

    rest = project(v)
    smallest = 1e-12 * jnp.sum(rest**2)
    u, _, _ = jax.lax.fori_loop(0, CG_STEPS, step, (jnp.zeros_like(rest), rest, rest))
    return project(u)
