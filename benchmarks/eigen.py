"""Speed and accuracy of the eigen-solvers of the spatial modulator, side by side.

    python benchmarks/eigen.py --sizes 49 245 980 --channels 512

prints, for each number of descriptors and each solver, the median time of one group, its ratio to
the first solver's, and 1 - cosine to a float64 solution. Ratios within one run may be compared;
times of different runs only on the same, idle machine.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cosseg_jax.models import eigen
from cosseg_jax.models.spatial import SpatialOptions, solve

KINDS = ("noisy", "clustered")


def descriptors(kind: str, n: int, d: int) -> np.ndarray:
    """Non-negative unit rows: white noise, or the same around three centres."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((n, d)), 0)
    if kind == "clustered":
        x = rng.random((3, d))[rng.integers(0, 3, n)] + 0.3 * x
    x = np.asarray(x, np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def residual_angle(x: np.ndarray, s: np.ndarray) -> float:
    """1 - cosine to the float64 eigenvector, from the (d + 1)-row form of the eigenproblem.

    With [x, 1] = Q R and J = diag(1, ..., 1, -1), G = Q (R J R') Q'.
    """
    m = np.concatenate([x, np.ones((len(x), 1))], axis=1).astype(np.float64)
    q, r = np.linalg.qr(m)
    signs = np.append(np.ones(x.shape[1]), -1)
    top = q @ np.linalg.eigh((r * signs) @ r.T)[1][:, -1]
    return 1 - abs(float(top @ (s / np.linalg.norm(s))))


def median_ms(function: Callable[[jax.Array], jax.Array], x: jax.Array, repeats: int) -> float:
    """Of `repeats` calls after one that compiles."""
    jax.block_until_ready(function(x))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(x))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def measure(kind: str, n: int, arguments: argparse.Namespace) -> None:
    """Prints one line a solver."""
    x = descriptors(kind, n, arguments.channels)
    first = None
    for solver in ("subspace", "eigh"):
        if solver == "eigh" and n > arguments.eigh_max:
            continue
        options = SpatialOptions(solver=solver)
        function = jax.jit(lambda x, options=options: solve(x, options))
        time_ms = median_ms(function, jnp.asarray(x), arguments.repeats)
        first = first or time_ms
        error = residual_angle(x, np.asarray(function(jnp.asarray(x)), np.float64))
        note = "  (takes eigh)" if solver == "subspace" and n <= smallest(options) else ""
        figures = f"{time_ms:9.2f} {time_ms / first:7.2f} {error:9.1e}"
        print(f"{n:6d} {kind:10s} {solver:9s} {figures}{note}")


def smallest(options: SpatialOptions) -> int:
    """The most descriptors for which "subspace" has no room for its basis."""
    return 2 * options.block_size * (eigen.BLOCKS + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the eigen-solvers.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[49, 245, 513, 980, 3920])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--eigh_max", type=int, default=1000, help="largest n to try eigh on")
    arguments = parser.parse_args()
    print(f"{'n':>6s} {'kind':10s} {'solver':9s} {'median ms':>9s} {'ratio':>7s} {'1 - cos':>9s}")
    for n in arguments.sizes:
        for kind in KINDS:
            measure(kind, n, arguments)


if __name__ == "__main__":
    main()
