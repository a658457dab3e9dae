"""Tells a process that was forked after a network was loaded, where JAX would wait for ever.

A fork copies no threads, and JAX computes in threads. `multiprocessing` forks by default on Linux
up to Python 3.13.
"""

import os

from cosseg_jax.errors import UserError

_forks = [0]  # how many forks lie between the start of the program and this process


def forks_so_far() -> int:
    """A number that differs in a forked process."""
    return _forks[0]


def check_not_forked(since: int) -> None:
    """Raises UserError in a process that was forked since `forks_so_far` was `since`."""
    if forks_so_far() != since:
        raise UserError(
            "this process was forked after the network was loaded, and JAX does not work in such a "
            "copy; load the network in the process that uses it, or start processes by "
            'multiprocessing.get_context("spawn")'
        )


def _count_fork() -> None:
    _forks[0] += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_count_fork)
