"""What the processes of one run decide together. With a single process, nothing waits.

Every process makes the same steps with its share of each batch. The first one alone reads and
writes the workdir, scores and exports; the others wait for it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def join(coordinator: str | None, process_count: int | None, process_index: int | None) -> None:
    """Joins the other processes of a run, if a coordinator (host:port of the first) is named.

    They connect here, where they are at the same place: gloo, with which JAX connects CPUs, waits
    30 s at most until a peer begins its first operation, and longer for later ones. The first
    process may be minutes behind where it prepares a data set.
    """
    if coordinator:
        jax.distributed.initialize(coordinator, process_count, process_index)
        wait_for_all("joined")


def is_first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def in_any(flag: bool) -> bool:
    """Whether the flag is True in any process; all of them call this at the same step."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def from_first(tree: Any) -> Any:
    """The arrays of the first process's tree; other processes give one of the same shapes."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


def wait_for_all(event: str) -> None:
    """Returns when every process has called it with the same event."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(event)


@contextlib.contextmanager
def first_process_first(event: str) -> Iterator[None]:
    """Lets the first process run the block alone; the others follow when it has left it."""
    if not is_first():
        wait_for_all(event)
    yield
    if is_first():
        wait_for_all(event)
