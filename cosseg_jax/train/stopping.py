"""Stops a run after the step under way, and keeps a second run out of its workdir."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from cosseg_jax.errors import UserError
from cosseg_jax.files import lock_file
from cosseg_jax.train import multihost

LOCK_FILE = "lock"


class StopSignal:
    """Turns SIGINT and SIGTERM into a request to stop after the step under way.

    A second signal has its usual effect, at once.

    every: several processes ask each other after every so many steps, since all have to stop after
        the same one.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def at(self, step: int) -> bool:
        """Whether the run stops after this step; all processes get the same answer."""
        if jax.process_count() == 1:
            return self._asked
        return step % self._every == 0 and multihost.in_any(self._asked)

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        self._asked = True
        signal.signal(number, self._before[signal.Signals(number)])


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds the workdir's lock, which the system releases when the process ends, even by a kill.

    Raises:
        UserError: if another run holds it, or the workdir cannot be written.
    """
    path = workdir / LOCK_FILE
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise UserError(f"cannot write into the workdir {workdir}: {error.strerror}") from error
    with file:
        _lock(file, workdir)
        try:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            raise UserError(f"cannot write into the workdir {workdir}: {error.strerror}") from error
        yield


def _lock(file: Any, workdir: Path) -> None:
    try:
        lock_file(file, wait=False)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read().decode() or "another process"
        raise UserError(
            f"{workdir} is in use by a run ({holder}); wait for it, stop it, or name another "
            "--workdir"
        ) from error
