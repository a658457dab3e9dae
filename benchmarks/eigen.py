"""Compares the speed and accuracy of eigen-solvers for the spatial modulator.

    python -m benchmarks.eigen --sizes 245 980 3920 --channels 512 [--json FILE]

prints, for each number of descriptors, kind of descriptors and solver, the cosine to a float64
solution, the median time of one group, in CPU milliseconds summed over all threads and in wall
milliseconds, and the megabytes that the compiled program needs beside its input. Then it prints how
many times longer each of the others takes than `subspace`, in CPU time. `adam` is 200 iterations on
the Rayleigh quotient of G, as in the authors' spatial step, but compiled. JAX's own LOBPCG
(jax.experimental.sparse.linalg.lobpcg_standard) runs with the same products of G and as many
iterations as `subspace` may spend: `lobpcg_4` on the same first block, `lobpcg_1` on one random
vector. Solvers that form G are left out where it would exceed a gigabyte, `eigh` and `squaring`
above 4,000 descriptors. Compare times only within one run; on a busy machine, only CPU times.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.sparse.linalg import lobpcg_standard

from benchmarks.ratio import Ratio, write_ratios
from cosseg_jax.models import eigen
from cosseg_jax.models.spatial import SpatialOptions

KINDS = ("clustered", "noise")
OPTIONS = SpatialOptions()
OURS = "subspace"
ADAM_ITERATIONS, ADAM_RATE = 200, 0.1
LARGEST = {"adam": 16_000, "eigh": 4_000, "squaring": 4_000}  # descriptors


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


def adam(x: jax.Array) -> jax.Array:
    """The vector [n] after Adam's iterations on the negative Rayleigh quotient of G [n, n]."""
    gram, optimizer = eigen.matmul(x, x.T) - 1, optax.adam(ADAM_RATE)

    def loss(v: jax.Array) -> jax.Array:
        return -(v @ eigen.matmul(gram, v[:, None])[:, 0]) / (v @ v)

    def improved(_: int, state: tuple[jax.Array, optax.OptState]):
        updates, moments = optimizer.update(jax.grad(loss)(state[0]), state[1])
        return optax.apply_updates(state[0], updates), moments

    start = jax.random.normal(jax.random.key(1), x.shape[:1])
    found, _ = jax.lax.fori_loop(0, ADAM_ITERATIONS, improved, (start, optimizer.init(start)))
    return found


SOLVERS: dict[str, Callable[[jax.Array], jax.Array]] = {
    OURS: lambda x: eigen.subspace_eigenvector(
        x, block_size=OPTIONS.block_size, iterations=OPTIONS.iterations
    ),
    "eigh": eigen.dense_eigenvector,
    "squaring": eigen.squared_eigenvector,
    "adam": adam,
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


class Timing(NamedTuple):
    """What one solver needs for one group.

    found: its vector [n].
    cpu_ms, wall_ms: of each call, once compiled.
    megabytes: that the compiled program needs beside its input and output.
    """

    found: np.ndarray
    cpu_ms: list[float]
    wall_ms: list[float]
    megabytes: float


def timed(function: Callable[[jax.Array], jax.Array], x: np.ndarray, repeats: int) -> Timing:
    argument = jnp.asarray(x)
    compiled = jax.jit(function).lower(argument).compile()
    found, cpu, wall = argument, [], []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        found = jax.block_until_ready(compiled(argument))
        cpu.append(1e3 * (time.process_time() - start[0]))
        wall.append(1e3 * (time.perf_counter() - start[1]))
    memory = compiled.memory_analysis().temp_size_in_bytes / 1e6
    return Timing(np.asarray(found, np.float64), cpu, wall, memory)


def compared(x: np.ndarray, solvers: list[str], repeats: int, name: str) -> list[Ratio]:
    """Prints a line for each solver; how many times longer the others take than ours."""
    expected, timings = eigenvector64(x), dict[str, Timing]()
    for solver in solvers:
        if len(x) > LARGEST.get(solver, len(x)):
            continue
        timing = timings[solver] = timed(SOLVERS[solver], x, repeats)
        cosine = abs(float(expected @ timing.found)) / np.linalg.norm(timing.found)
        times = f"{np.median(timing.cpu_ms):10.1f} {np.median(timing.wall_ms):10.1f}"
        print(f"{name} {solver:9s} {cosine:9.6f} {times} {timing.megabytes:9.1f}", flush=True)
    ours = timings.pop(OURS, None)
    return [
        Ratio(
            f"{name} {solver} / {OURS}",
            tuple(theirs / own for theirs, own in zip(timing.cpu_ms, ours.cpu_ms, strict=True)),
        )
        for solver, timing in timings.items()
        if ours
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[245, 980, 3920])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS))
    parser.add_argument("--json", type=Path, help="file for the ratios")
    arguments = parser.parse_args()
    print("     n kind       solver       cosine     CPU ms    wall ms        MB")
    ratios = []
    for n in arguments.sizes:
        for kind in arguments.kinds:
            x = descriptors(kind, n, arguments.channels)
            ratios += compared(x, arguments.solvers, arguments.repeats, f"{n:6d} {kind:10s}")
    for ratio in ratios:
        print(ratio)
    if arguments.json:
        write_ratios(arguments.json, ratios)


if __name__ == "__main__":
    main()
