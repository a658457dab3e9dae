"""One computation at a time: jobs wait in a queue, and one thread computes them in turn."""

import dataclasses
import threading
from collections import deque
from typing import Any, Literal

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import is_user_error, message_of
from cosseg_jax.predict.result import GroupResult
from cosseg_jax.web.faults import logged_fault
from cosseg_jax.web.uploads import Upload

JobStage = Literal["waiting", "working", "done", "failed"]
WARM_UP = 0
ENCODING_SHARE = 0.8  # of the time that a job takes; the rest is segmenting


@dataclasses.dataclass(eq=False)
class GroupJob:
    """A group to be segmented, and how far that is.

    version: counts the jobs of a session, from 1; WARM_UP for the server's own, which compiles.
    images: those of the session that take part; numbers: their places in the session.
    prompts: the user's; their images are counted in the session.
    share: of the work that is done, 0..1.
    message: why it failed.
    wanted: False once nobody waits for it any more.
    encoded: the predictor's session with the images' encodings, once there is one.
    """

    version: int
    images: tuple[Upload, ...]
    numbers: tuple[int, ...]
    prompts: tuple[Prompt, ...] = ()
    stage: JobStage = "waiting"
    share: float = 0.0
    message: str = ""
    result: GroupResult | None = None
    wanted: bool = True
    encoded: Any = None

    def reuse_encodings_of(self, *earlier: "GroupJob | None") -> None:
        """Takes over the encodings of an earlier job with the same images."""
        for job in earlier:
            if job is not None and job.numbers == self.numbers and job.encoded is not None:
                self.encoded = job.encoded


class _NotWanted(Exception):
    """Ends a computation for which nobody waits any more."""


class Worker:
    """Computes jobs one after the other, first come, first served.

    predictor: a `Predictor`; its `encode` is called from one thread only.
    """

    def __init__(self, predictor: Any):
        self._predictor = predictor
        self._queue: deque[GroupJob] = deque()
        self._changed = threading.Condition()
        self._current: GroupJob | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="segmentation", daemon=True)
        self._thread.start()

    def put(self, job: GroupJob, *, instead_of: GroupJob | None = None) -> None:
        """Appends a job, or gives it the place of one that waits; a running one is given up."""
        with self._changed:
            if instead_of is not None:
                instead_of.wanted = False
            if instead_of is not None and instead_of in self._queue:
                self._queue[self._queue.index(instead_of)] = job
            else:
                self._queue.append(job)
            self._changed.notify()

    def give_up(self, job: GroupJob | None) -> None:
        """Takes a job back, whether it waits or runs."""
        with self._changed:
            if job is not None:
                job.wanted = False
            if job in self._queue:
                self._queue.remove(job)

    def ahead_of(self, job: GroupJob) -> int:
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
        """Ends the thread after the chunk of images that it is at.

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
        while self._run_next():
            pass  # a finished job is not referred to while the next one is awaited

    def _run_next(self) -> bool:
        job = self._next()
        if job is None:
            return False
        try:
            self._compute(job)
        except _NotWanted:
            pass
        except Exception as error:
            job.message = message_of(error) if is_user_error(error) else logged_fault(error)
            job.stage = "failed"
        return True

    def _next(self) -> GroupJob | None:
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._closed or self._queue)
            self._current = None if self._closed else self._queue.popleft()
            return self._current

    def _compute(self, job: GroupJob) -> None:
        def encoding(done: int, of: int) -> None:
            _advance(job, ENCODING_SHARE * done / of)

        def segmenting(done: int, of: int) -> None:
            _advance(job, ENCODING_SHARE + (1 - ENCODING_SHARE) * done / of)

        _advance(job, 0.0)
        job.stage = "working"
        if job.encoded is None:
            job.encoded = self._predictor.encode(
                [image.content for image in job.images],
                names=[image.name for image in job.images],
                progress=encoding,
            )
        job.result = job.encoded.segment(prompt=_prompts_in_job(job), progress=segmenting)
        job.stage = "done"


def _advance(job: GroupJob, share: float) -> None:
    if not job.wanted:
        raise _NotWanted
    job.share = share


def _prompts_in_job(job: GroupJob) -> list[Prompt]:
    """The job's prompts with their images counted among those that take part."""
    return [
        dataclasses.replace(prompt, image=job.numbers.index(prompt.image)) for prompt in job.prompts
    ]
