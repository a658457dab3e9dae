"""One computation at a time: jobs wait in a queue, and one thread computes them in turn."""

import dataclasses
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import is_user_error, message_of
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
    result: a `GroupResult`, or what a further kind of job computes.
    is_fault: whether it failed by a fault of the server.
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
    is_fault: bool = False
    result: Any = None
    wanted: bool = True
    encoded: Any = None

    def reuse_encodings_of(self, *earlier: "GroupJob | None") -> None:
        """Takes over the encodings of an earlier job with the same images."""
        for job in earlier:
            if job is not None and job.numbers == self.numbers and job.encoded is not None:
                self.encoded = job.encoded

    def compute(self, predictor: Any, progress: Callable[[float], None]) -> Any:
        """The result. Called in the worker's thread; `progress` with the share that is done."""
        return self.encode(predictor, progress).segment(
            prompt=self.prompts_in_job(),
            progress=lambda done, of: progress(ENCODING_SHARE + (1 - ENCODING_SHARE) * done / of),
        )

    def encode(self, predictor: Any, progress: Callable[[float], None]) -> Any:
        """The predictor's session with the images' encodings."""
        if self.encoded is None:
            self.encoded = predictor.encode(
                [image.content for image in self.images],
                names=[image.name for image in self.images],
                progress=lambda done, of: progress(ENCODING_SHARE * done / of),
            )
        return self.encoded

    def prompts_in_job(self) -> list[Prompt]:
        """The prompts with their images counted among those that take part."""
        return [
            dataclasses.replace(prompt, image=self.numbers.index(prompt.image))
            for prompt in self.prompts
        ]


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
            job.is_fault = not is_user_error(error)
            job.message = logged_fault(error) if job.is_fault else message_of(error)
            job.stage = "failed"
        return True

    def _next(self) -> GroupJob | None:
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._closed or self._queue)
            self._current = None if self._closed else self._queue.popleft()
            return self._current

    def _compute(self, job: GroupJob) -> None:
        def advance(share: float) -> None:
            if not job.wanted:
                raise _NotWanted
            job.share = share

        advance(0.0)
        job.stage = "working"
        job.result = job.compute(self._predictor, advance)
        job.stage = "done"
