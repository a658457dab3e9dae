"""What the server knows of each user: photographs and results, in memory only, for a while."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.web.limits import Limits, megabytes
from cosseg_jax.web.uploads import Kept
from cosseg_jax.web.work import Job, Worker

Clock = Callable[[], float]


class NoSession(Exception):
    """There is no session of this id, or no longer."""


class Full(Exception):
    """Every place for a session is taken by one in use."""


class Session:
    """One user's group.

    id: random, known to its user only.
    photos: a photograph's number is its place here; none is ever removed.
    job: the latest one asked for.
    finished: the latest one with a result, which may be older.
    uploading: held while a file is taken in, so that a session takes one at a time.
    """

    def __init__(self, limits: Limits):
        self.id = secrets.token_urlsafe(24)
        self.photos: list[Kept] = []
        self.job: Job | None = None
        self.used_at = 0.0
        self.uploading = asyncio.Lock()
        self._limits = limits
        self._before: Job | None = None

    @property
    def finished(self) -> Job | None:
        return self.job if self.job is not None and self.job.stage == "done" else self._before

    def check_room(self, name: str, size: int = 0) -> None:
        """Raises UserError where a file of `size` bytes has no place beside the others."""
        most = self._limits.photos
        if len(self.photos) >= most:
            raise UserError(f"{name} was not added: a group has {most} photographs at most")
        if self._bytes + size > self._limits.session_bytes:
            raise UserError(
                f"{name} was not added: the photographs of a group may have "
                f"{megabytes(self._limits.session_bytes)} together; make them smaller first"
            )

    def add(self, photo: Kept) -> int:
        """Keeps a photograph; its number. Raises UserError where there is no room."""
        self.check_room(photo.name, len(photo.content))
        self.photos.append(photo)
        return len(self.photos) - 1

    def ask(self, worker: Worker, left_out: Collection[int], mark: Prompt | None) -> Job:
        """Has the group segmented without some photographs; gives up what was asked before.

        mark: the object, its photo counted in the session.
        Raises UserError where no photograph is left, or the mark is in one that is left out.
        """
        numbers = tuple(n for n in range(len(self.photos)) if n not in left_out)
        if not numbers:
            raise UserError("no photograph takes part; add one, or put one back")
        if mark is not None and mark.image not in numbers:
            raise UserError("the mark is in a photograph that does not take part; clear the mark")
        version = 1 if self.job is None else self.job.version + 1
        job = Job(version, tuple(self.photos[n] for n in numbers), numbers, mark)
        self._before = self.finished
        worker.put(job, instead_of=self.job)
        self.job = job
        return job

    @property
    def _bytes(self) -> int:
        return sum(len(photo.content) for photo in self.photos)


class Sessions:
    """All users' sessions, bounded in number; unused ones are dropped."""

    def __init__(self, limits: Limits, worker: Worker, clock: Clock = time.monotonic):
        self._limits, self._worker, self._clock = limits, worker, clock
        self._held: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._held)

    def new(self) -> Session:
        """A session without photographs. Raises Full."""
        self.sweep()
        if len(self._held) >= self._limits.sessions:
            oldest = min(self._held.values(), key=lambda session: session.used_at)
            if self._clock() - oldest.used_at < self._limits.spare_s:
                raise Full
            self.drop(oldest.id)
        session = Session(self._limits)
        session.used_at = self._clock()
        self._held[session.id] = session
        return session

    def get(self, id: str) -> Session:
        """The session of an id, used now. Raises NoSession."""
        self.sweep()
        if id not in self._held:
            raise NoSession
        session = self._held[id]
        session.used_at = self._clock()
        return session

    def drop(self, id: str) -> None:
        """Forgets a session and what it is waiting for; nothing if there is none."""
        session = self._held.pop(id, None)
        if session is not None:
            self._worker.give_up(session.job)

    def sweep(self) -> None:
        """Drops what was not used for too long."""
        oldest = self._clock() - self._limits.idle_s
        for session in [each for each in self._held.values() if each.used_at < oldest]:
            self.drop(session.id)
