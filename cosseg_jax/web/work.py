"""One computation at a time: jobs wait in a queue, a thread of its own computes them in turn."""

import dataclasses
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Literal

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.predict.predictor import GroupResult
from cosseg_jax.program import is_user_error, message_of
from cosseg_jax.web.uploads import Kept, opened

Predict = Callable[..., GroupResult]  # as `Predictor.__call__`
Stage = Literal["waiting", "working", "done", "failed"]
WARM_UP = 0


@dataclasses.dataclass(eq=False)
class Job:
    """A group to be segmented, and how far that is.

    version: counts the jobs of a session, from 1; WARM_UP for the server's own, which compiles.
    photos: of the session, those that take part; numbers: their places in the session.
    mark: the user's, its photo counted in the session.
    done: of how many photographs.
    message: why it failed.
    wanted: False once nobody waits for it any more.
    """

    version: int
    photos: tuple[Kept, ...]
    numbers: tuple[int, ...]
    mark: Prompt | None = None
    stage: Stage = "waiting"
    done: int = 0
    message: str = ""
    result: GroupResult | None = None
    wanted: bool = True


class _NotWanted(Exception):
    """Ends a computation for which nobody waits any more."""


class Worker:
    """Computes jobs one after the other, first come, first served.

    predict: called from one thread only.
    """

    def __init__(self, predict: Predict):
        self._predict = predict
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._current: Job | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="segmentation", daemon=True)
        self._thread.start()

    def put(self, job: Job, *, instead_of: Job | None = None) -> None:
        """Appends a job, or gives it the place of one that waits; a running one is given up."""
        with self._changed:
            if instead_of is not None:
                instead_of.wanted = False
            if instead_of is not None and instead_of in self._queue:
                self._queue[self._queue.index(instead_of)] = job
            else:
                self._queue.append(job)
            self._changed.notify()

    def give_up(self, job: Job | None) -> None:
        """Takes a job back, wherever it is."""
        with self._changed:
            if job is not None:
                job.wanted = False
            if job in self._queue:
                self._queue.remove(job)

    def ahead_of(self, job: Job) -> int:
        """How many jobs come before it, the running one included."""
        with self._changed:
            waiting = self._queue.index(job) if job in self._queue else 0
            return waiting + (self._current is not None and self._current is not job)

    def is_warming_up(self) -> bool:
        """Whether the server's own job, with which it begins, is still to be done."""
        with self._changed:
            jobs = (self._current, *self._queue)
            return any(job is not None and job.version == WARM_UP for job in jobs)

    def close(self) -> None:
        """Ends the thread, after the chunk of photographs that it is at.

        Waits for it: a process that ends while XLA compiles in another thread crashes.
        """
        with self._changed:
            self._closed = True
            self._queue.clear()
            if self._current is not None:
                self._current.wanted = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._compute(job)
            except _NotWanted:
                pass
            except Exception as error:
                if not is_user_error(error):
                    traceback.print_exception(error, file=sys.stderr)
                job.message = _explained(error)
                job.stage = "failed"

    def _next(self) -> Job | None:
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._closed or self._queue)
            self._current = None if self._closed else self._queue.popleft()
            return self._current

    def _compute(self, job: Job) -> None:
        def progress(done: int, of: int) -> None:
            if not job.wanted:
                raise _NotWanted
            job.done = done

        progress(0, len(job.photos))
        job.stage = "working"
        mark = job.mark and dataclasses.replace(job.mark, image=job.numbers.index(job.mark.image))
        job.result = self._predict(
            [opened(photo.content, photo.name) for photo in job.photos],
            names=[photo.name for photo in job.photos],
            prompt=mark,
            progress=progress,
        )
        job.stage = "done"


def _explained(error: Exception) -> str:
    if is_user_error(error):
        return message_of(error)
    return "The group could not be segmented; the server's terminal says why."
