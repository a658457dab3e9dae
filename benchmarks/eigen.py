"""Compares the speed and accuracy of eigen-solvers for the spatial modulator.

    python benchmarks/eigen.py --sizes 245 980 3920 --channels 512

prints, for each number of descriptors, kind of descriptors and solver, the cosine to a float64
solution and the median time of one group, in CPU milliseconds summed over all threads and in wall
milliseconds. JAX's own LOBPCG (jax.experimental.sparse.linalg.lobpcg_standard) runs with the same
products of G and as many iterations as `subspace` may spend: `lobpcg_4` on the same first block,
`lobpcg_1` on one random vector. Compare times only within one run; on a busy machine, only CPU
times.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse.linalg import lobpcg_standard

from cosseg_jax.models import eigen
from cosseg_jax.models.spatial import SpatialOptions

KINDS = ("clustered", "noise")
OPTIONS = SpatialOptions()


def lobpcg_from_block(x: jax.Array) -> jax.Array:
    first = eigen.first_block(x, OPTIONS.block_size)
    return lobpcg(x, eigen.orthonormal_complement(first, jnp.zeros_like(first)).T)


def lobpcg_from_noise(x: jax.Array) -> jax.Array:
    return lobpcg(x, jax.random.normal(jax.random.key(1), (x.shape[0], 1)))


def lobpcg(x: jax.Array, start: jax.Array) -> jax.Array:
    """The top eigenvector [n] from starting vectors [n, k]."""
    _, vectors, _ = lobpcg_standard(
        lambda v: eigen.gram_product(x, v.T).T, start, OPTIONS.iterations
    )
    return vectors[:, 0]


SOLVERS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "subspace": lambda x: eigen.subspace_eigenvector(
        x, block_size=OPTIONS.block_size, iterations=OPTIONS.iterations
    ),
    "eigh": eigen.dense_eigenvector,
    "squaring": eigen.squared_eigenvector,
    "lobpcg_4": lobpcg_from_block,
    "lobpcg_1": lobpcg_from_noise,
}


def descriptors(kind: str, n: int, d: int) -> np.ndarray:
    """Non-negative unit rows: white noise, or the same around three centres."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((n, d)), 0)
    if kind == "clustered":
        x = rng.random((3, d))[rng.integers(0, 3, n)] + 0.3 * x
    x = np.asarray(x, np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def eigenvector64(x: np.ndarray) -> np.ndarray:
    """The top eigenvector of G in float64, from an eigenproblem of at most d + 1 rows.

    With [x, 1] = Q R and J = diag(1, ..., 1, -1), G = Q (R J R') Q'.
    """
    m = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)
    q, r = np.linalg.qr(m)
    signs = np.append(np.ones(x.shape[1]), -1)
    return q @ np.linalg.eigh((r * signs) @ r.T)[1][:, -1]


def timed(
    function: Callable[[jax.Array], jax.Array], x: np.ndarray, repeats: int
) -> tuple[np.ndarray, list[float]]:
    """The result, and the median CPU and wall milliseconds of `repeats` calls once compiled."""
    argument = jnp.asarray(x)
    compiled = jax.jit(function).lower(argument).compile()
    found, times = argument, []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        found = jax.block_until_ready(compiled(argument))
        times.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    return np.asarray(found, np.float64), (1e3 * np.median(times, axis=0)).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[245, 980, 3920])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    arguments = parser.parse_args()
    print(f"{'n':>6s} {'kind':10s} {'solver':9s} {'cosine':>9s} {'CPU ms':>10s} {'wall ms':>10s}")
    for n in arguments.sizes:
        for kind in arguments.kinds:
            x = descriptors(kind, n, arguments.channels)
            expected = eigenvector64(x)
            for solver in arguments.solvers:
                s, times = timed(SOLVERS[solver], x, arguments.repeats)
                cosine = abs(float(expected @ s)) / np.linalg.norm(s)
                columns = f"{cosine:9.6f} {times[0]:10.1f} {times[1]:10.1f}"
                print(f"{n:6d} {kind:10s} {solver:9s} {columns}", flush=True)


if __name__ == "__main__":
    main()
