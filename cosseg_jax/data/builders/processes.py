"""Shares jobs out among processes; when one of them is killed, the others do not wait for it.

The pools of the standard library may wait for ever when a process is killed while they start, and
leave their processes behind when the parent is killed. Here each process has a pipe of its own, and
nothing is shared.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any


def completed(function: Callable[[Any], Any], jobs: Sequence[Any], processes: int) -> Iterator[Any]:
    """Yields what the function returns for each job, in the order in which the jobs end.

    Args:
      function: it belongs to a module, so that it can be sent to another process, like jobs and
        results.
      jobs: each is given to the next process that has nothing to do.
      processes: how many at most; 1 is this process itself.

    Raises what the function raises; ChildProcessError where a process was killed. The others are
    then ended in the middle of their jobs.
    """
    processes = min(processes, len(jobs))
    if processes <= 1:
        yield from map(function, jobs)
        return
    workers: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(processes):
            connection, process = _started(function)
            workers[connection] = process
        yield from _results(list(workers), jobs)
    finally:
        for connection, process in workers.items():
            connection.close()
            process.terminate()
            process.join()


def _started(function: Callable[[Any], Any]) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    ours, its = context.Pipe()
    process = context.Process(target=_work, args=(function, its), daemon=True)
    process.start()
    its.close()  # else it would stay open when the process ends
    return ours, process


def _results(idle: list[Connection], jobs: Sequence[Any]) -> Iterator[Any]:
    waiting, busy = list(reversed(jobs)), []
    try:
        while waiting or busy:
            while waiting and idle:
                busy.append(idle.pop())
                busy[-1].send(waiting.pop())
            ready = wait(busy)
            for connection in [one for one in busy if one in ready]:
                result, error = connection.recv()
                if error is not None:
                    raise error
                yield result
                busy.remove(connection)
                idle.append(connection)
    except (EOFError, ConnectionError) as error:
        raise ChildProcessError(
            "one of the processes has ended; if it was killed because memory ran out, use fewer "
            "(--processes). (A script that uses several needs the line "
            "`if __name__ == '__main__':` before its calls.)"
        ) from error


def _work(function: Callable[[Any], Any], connection: Connection) -> None:
    """Does jobs until the parent closes the pipe or ends, in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            outcome = function(job), None
        except Exception as error:
            error.add_note("".join(traceback.format_exception(error)))
            outcome = None, error
        connection.send(outcome)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
