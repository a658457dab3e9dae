"""Times of calls, and the rate that a machine's matrix products reach."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

REPEATS = 5
PRODUCT_SIDE = {"cpu": 2048, "gpu": 8192}  # of the matrices whose product sets the peak


def times_ms(function: Callable[..., Any], *arguments: Any) -> list[float]:
    """The times of REPEATS calls, after one that compiles."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(1e3 * (time.perf_counter() - start))
    return times


def peak_tflops(dtype: str) -> float:
    """The rate of a product of two large matrices, in 10^12 floating-point operations a second."""
    side = PRODUCT_SIDE.get(jax.default_backend(), PRODUCT_SIDE["gpu"])
    a = jax.random.normal(jax.random.key(0), (side, side), jnp.dtype(dtype))
    best = min(times_ms(jax.jit(lambda x: x @ x), a))
    return 2 * side**3 / best / 1e9


def shares_of_peak(operations: float, times: list[float], peak: float) -> tuple[float, ...]:
    """What part of the peak calls reach that take so many milliseconds, 0..1."""
    return tuple(operations / each / 1e9 / peak for each in times)
