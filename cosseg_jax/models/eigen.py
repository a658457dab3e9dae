"""The unit eigenvector of the largest algebraic eigenvalue of G = X'X - 11' (eq. 10).

Below, `x` holds one descriptor a row, [n, d]: it is X' of the paper, so G = x x' - 11'. The vectors
of a block or basis are rows too, [k, n]: on CPU these products are many times faster.

What the solvers rest on:

- On vectors orthogonal to the constant one, G is positive semidefinite. So G has at most one negative
  eigenvalue. With non-negative features that one has the largest magnitude (up to n) and lies near
  the constant vector: plain power iteration finds it, and it is the wrong one.
- A Krylov space converges towards both ends of the spectrum, each told from the other by the sign of
  its Ritz value, so the largest algebraic eigenvalue needs no spectral shift.
- The trace of G is zero for unit descriptors, so its largest eigenvalue is positive unless G = 0.

`subspace_eigenvector` never forms G. It grows an orthonormal basis block by block (block Lanczos with
full reorthogonalisation), takes the best vectors in it by Rayleigh-Ritz, and starts again from these
(thick restart) until the residual is small. Everything runs in float32 at full matrix-product precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

HIGHEST = jax.lax.Precision.HIGHEST
BLOCKS = 7  # grown between two restarts
TOLERANCE = 5e-6  # residual / eigenvalue to stop at: bounds the error angle by this / relative gap
DEPENDENT = (
    1e-6  # squared length, against its rows', below which a direction of a block is rounding
)


def matmul(a: Float[Array, "a b"], b: Float[Array, "b c"]) -> Float[Array, "a c"]:
    """Matrix product in true float32, also on devices that would round to TF32 or bfloat16."""
    return jnp.matmul(a, b, precision=HIGHEST)


def gram_product(x: Float[Array, "n d"], v: Float[Array, "k n"]) -> Float[Array, "k n"]:
    """G v = x (x' v) - 1 (1' v) for each row v, at a cost of 4 n d k operations."""
    return matmul(matmul(v, x), x.T) - jnp.sum(v, axis=1, keepdims=True)


def dense_eigenvector(x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Last eigenvector of the full G; for small n the fastest."""
    return jnp.linalg.eigh(matmul(x, x.T) - 1.0)[1][:, -1]


def probe(d: int, k: int) -> Float[Array, "d k"]:
    """Fixed directions in feature space.

    What is made from x @ probe follows every permutation of the descriptors, unlike a vector drawn
    over positions.
    """
    return jax.random.normal(jax.random.key(0), (d, k))


def first_block(x: Float[Array, "n d"], size: int) -> Float[Array, "k n"]:
    """The constant, where the negative eigenvalue lies, and k - 1 deterministic starts.

    All but one of these are combinations of the features; the top eigenvector lies in the span of
    the features and the constant whenever its eigenvalue is positive. One goes by position, so that
    something orthogonal to the constant remains where all descriptors are zero or the same.
    """
    n, d = x.shape
    position = jnp.cos(jnp.arange(n, dtype=x.dtype) ** 2)
    starts = jnp.concatenate([position[None], matmul(probe(d, size - 2).T, x.T)])
    starts = starts - jnp.mean(starts, axis=1, keepdims=True)
    return jnp.concatenate([jnp.ones((1, n), x.dtype), starts])  # [k, n]


def orthonormal_rows(w: Float[Array, "k n"], least: float) -> Float[Array, "k n"]:
    """An orthonormal basis of the rows of w; zero rows stand for what is missing.

    Through the k x k Gram matrix. Unlike QR it makes up nothing: directions in w of squared length
    below `least` come out as zero rows.
    """
    values, vectors = jnp.linalg.eigh(matmul(w, w.T))
    keep = values > least
    inverse = jnp.where(keep, jax.lax.rsqrt(jnp.where(keep, values, 1)), 0)
    return matmul((vectors * inverse[None, :]).T, w)


def orthonormal_complement(
    w: Float[Array, "k n"], basis: Float[Array, "m n"]
) -> Float[Array, "k n"]:
    """An orthonormal basis of the rows of w that are orthogonal to `basis` up to rounding.

    The second pass makes up for the rounding of the first, and drops what was nothing else.
    """
    length = jnp.sqrt(jnp.sum(w**2, axis=1, keepdims=True))
    w = orthonormal_rows(w / jnp.where(length > 0, length, 1), least=DEPENDENT)
    return orthonormal_rows(w - matmul(matmul(w, basis.T), basis), least=0.1)


class Ritz(NamedTuple):
    """State of the iteration between restarts.

    vectors, values: the k best so far, best first; zero rows where there is none yet.
    block: orthonormal, spans the vectors' residuals; with it the basis goes on growing.
    rounds: products of G and a block spent so far.
    done: the best vector is as good as asked for, or as float32 can tell.
    """

    vectors: Float[Array, "k n"]
    values: Float[Array, " k"]
    block: Float[Array, "k n"]
    rounds: Int[Array, ""]
    done: Bool[Array, ""]


class Krylov(NamedTuple):
    """An orthonormal basis, G projected on it, and the part of G's last product outside of it."""

    basis: Float[Array, "m n"]
    projected: Float[Array, "m m"]
    outside: Float[Array, "k n"]
    block: Float[Array, "k n"]


def grow(x: Float[Array, "n d"], state: Ritz) -> Krylov:
    """Extends the Ritz vectors by BLOCKS blocks, each from the product of G and the one before."""
    k = state.values.shape[0]
    basis, block, outside = state.vectors, state.block, state.block
    projected = jnp.diag(state.values)  # [k, k]
    for _ in range(BLOCKS):
        basis = jnp.concatenate([basis, block])
        outside = gram_product(x, block)
        inside = matmul(outside, basis.T)  # [k, m]
        outside = outside - matmul(inside, basis)
        outside = outside - matmul(matmul(outside, basis.T), basis)
        corner = (inside[:, -k:] + inside[:, -k:].T) / 2  # [k, k]
        projected = jnp.block([[projected, inside[:, :-k].T], [inside[:, :-k], corner]])
        block = orthonormal_complement(outside, basis)
    return Krylov(basis, projected, outside, block)


def restart(x: Float[Array, "n d"], state: Ritz) -> Ritz:
    """Grows the basis and keeps the k best Ritz vectors in it."""
    k, n = state.vectors.shape
    krylov = grow(x, state)
    missing = jnp.sum(krylov.basis**2, axis=1) < 0.5
    below_all = -2.0 * n  # no eigenvalue of G is less than -n
    projected = krylov.projected + jnp.diag(jnp.where(missing, below_all, 0))
    values, mix = jnp.linalg.eigh(projected)
    values, mix = values[::-1][:k], mix[:, ::-1][:, :k]  # best first
    vectors = matmul(mix.T, krylov.basis)  # [k, n]
    residual = jnp.sqrt(jnp.sum(matmul(mix[-k:, :1].T, krylov.outside) ** 2))
    done = residual <= TOLERANCE * jnp.abs(values[0])
    values = jnp.where(values < below_all / 1.5, 0, values)
    return Ritz(vectors, values, krylov.block, state.rounds + BLOCKS, done)


def subspace_eigenvector(
    x: Float[Array, "n d"], *, block_size: int, iterations: int
) -> Float[Array, " n"]:
    """Matrix-free; for n too small to hold a basis the dense solution.

    Args:
        x: descriptors of length 1 (or 0), one a row.
        block_size: k >= 3, vectors multiplied at once.
        iterations: the most products of G and a block.
    """
    n = x.shape[0]
    if n <= 2 * block_size * (BLOCKS + 1):
        return dense_eigenvector(x)
    zeros = jnp.zeros((block_size, n), x.dtype)
    first = first_block(x, block_size)
    start = Ritz(
        vectors=zeros,
        values=zeros[:, 0],
        block=orthonormal_complement(first, zeros),
        rounds=jnp.array(0),
        done=jnp.array(False),
    )

    def unfinished(state: Ritz) -> Bool[Array, ""]:
        return ~state.done & (state.rounds < iterations)

    best = jax.lax.while_loop(unfinished, lambda state: restart(x, state), start).vectors[0]
    return best / jnp.sqrt(jnp.sum(best**2))
