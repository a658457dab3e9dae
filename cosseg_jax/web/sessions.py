"""What the server holds for each user: images and results, in memory only, for a while."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence

from jaxtyping import Bool

from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.predict.annotations.run_lengths import (
    compressed,
    counts_to_mask,
    mask_to_counts,
    uncompressed,
)
from cosseg_jax.types import Ndarray
from cosseg_jax.web.limits import Limits, megabytes
from cosseg_jax.web.uploads import Upload
from cosseg_jax.web.work import GroupJob, Worker

# Beside its file and preview: the network's input, and two probability maps of 384 x 384 floats.
IMAGE_BYTES = 1_700_000

MOST_RIGHT = 400  # masks that a session keeps since the user has said that they are right

Clock = Callable[[], float]


class NoSession(Exception):
    """There is no session with this id, or no longer."""


class ServerFull(Exception):
    """There is no room for another session or image, because others are in use."""


class UserSession:
    """One user's group.

    id: random, known to its user only.
    images: in the order in which they were added; none is ever removed.
    job: the latest one that was asked for.
    finished: the latest one with a result, which may be older.
    uploading: held while a file is taken in, so that a session takes one at a time.
    archiving: held while an archive is sent, likewise.
    used_at: when it was used last.
    was_left: whether its page was closed since then.
    held_bytes: the memory that it takes, what is being uploaded included.
    """

    def __init__(self, limits: Limits):
        self.id = secrets.token_urlsafe(24)
        self.images: list[Upload] = []
        self.job: GroupJob | None = None
        self.uploading, self.archiving = asyncio.Lock(), asyncio.Lock()
        self.used_at = 0.0
        self.was_left = False
        self.held_bytes = 0
        self._limits = limits
        self._earlier: GroupJob | None = None
        self._right: dict[tuple[int, float, int], str] = {}

    @property
    def finished(self) -> GroupJob | None:
        if self.job is not None and self.job.stage == "done":
            self._earlier = None
            return self.job
        return self._earlier

    def found_mask(self, version: int, threshold: float, number: int) -> Bool[Ndarray, "H W"]:
        """The mask that a job found in an image; once asked for, it is kept for further jobs.

        Raises UserError where that job's masks are gone, or it left the image out.
        """
        key = (version, threshold, number)
        if key not in self._right:
            job = self.finished
            if job is None or job.version != version or number not in job.numbers:
                raise UserError("the mask that was said to be right is gone; look at the new one")
            mask = job.result.images[job.numbers.index(number)].mask_at(threshold)
            self._right[key] = compressed(mask_to_counts(mask))
            if len(self._right) > MOST_RIGHT:
                del self._right[next(iter(self._right))]
        image = self.images[number]
        return counts_to_mask(uncompressed(self._right[key]), image.height, image.width)

    @contextlib.contextmanager
    def settled_after(self) -> Iterator[None]:
        """Afterwards the session holds its images only, and nothing of an upload that failed."""
        try:
            yield
        finally:
            self.held_bytes = sum(
                len(image.content) + len(image.preview) + IMAGE_BYTES for image in self.images
            )

    def check_room(self, name: str, size: int = 0, count: int = 1) -> None:
        """Raises UserError unless the group may have `count` more files of `size` bytes."""
        most = self._limits.photos
        if len(self.images) + count > most:
            raise UserError(f"{name} was not added: a group has {_counted(most)} at most")
        if sum(len(image.content) for image in self.images) + size > self._limits.session_bytes:
            raise UserError(
                f"{name} was not added: the photos of a group may have "
                f"{megabytes(self._limits.session_bytes)} together; make them smaller first"
            )

    def add(self, image: Upload) -> int:
        """Keeps an image; returns its number. Raises UserError where there is no room."""
        self.check_room(image.name, len(image.content))
        self.images.append(image)
        return len(self.images) - 1

    def ask(
        self, worker: Worker, left_out: Collection[int], prompts: Sequence[Prompt] = ()
    ) -> GroupJob:
        """Has the group segmented without some images; gives up what was asked for before.

        prompts: what is shown of the object; their images are counted in the session.
        Raises UserError if no image is left, or a prompt is in one that is left out.
        """
        numbers = tuple(n for n in range(len(self.images)) if n not in left_out)
        if not numbers:
            raise UserError("no photo takes part; add one, or put one back")
        if any(prompt.image not in numbers for prompt in prompts):
            raise UserError("a prompt is in a photo that is left out; clear the prompt")
        version = 1 if self.job is None else self.job.version + 1
        job = GroupJob(version, tuple(self.images[n] for n in numbers), numbers, tuple(prompts))
        self._earlier = self.finished
        job.reuse_encodings_of(self.job, self._earlier)
        worker.put(job, instead_of=self.job)
        self.job = job
        return job


class UserSessions:
    """All users' sessions within the limits; unused ones are dropped."""

    def __init__(self, limits: Limits, worker: Worker, clock: Clock = time.monotonic):
        self._limits, self._worker, self._clock = limits, worker, clock
        self._held: dict[str, UserSession] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """The memory that all sessions take together."""
        return sum(session.held_bytes for session in self._held.values())

    def new(self) -> UserSession:
        """A session without images. Raises ServerFull."""
        self.sweep()
        if len(self._held) >= self._limits.sessions and not self._drop_one():
            raise ServerFull
        session = UserSession(self._limits)
        session.used_at = self._clock()
        self._held[session.id] = session
        return session

    def get(self, id: str) -> UserSession:
        """The session with an id, which counts as used now. Raises NoSession."""
        self.sweep()
        if id not in self._held:
            raise NoSession
        session = self._held[id]
        session.used_at, session.was_left = self._clock(), False
        return session

    def take(self, session: UserSession, size: int) -> None:
        """Counts memory for a session that is used now. Raises ServerFull, or NoSession."""
        self.get(session.id)
        while self.held_bytes + size > self._limits.server_bytes:
            if not self._drop_one(besides=session):
                raise ServerFull
        session.held_bytes += size

    def leave(self, id: str) -> None:
        """Notes that a session's page was closed; nothing happens if there is no such session."""
        if id in self._held:
            self._held[id].used_at, self._held[id].was_left = self._clock(), True

    def drop(self, id: str) -> None:
        """Forgets a session and gives up its job; nothing happens if there is no such session."""
        session = self._held.pop(id, None)
        if session is not None:
            self._worker.give_up(session.job)

    def sweep(self) -> None:
        """Drops the sessions that were not used for too long."""
        for session in list(self._held.values()):
            most = self._limits.left_s if session.was_left else self._limits.idle_s
            if self._unused_s(session) > most:
                self.drop(session.id)

    def _drop_one(self, besides: UserSession | None = None) -> bool:
        """Drops the session that is unused for longest, empty ones first; False if all are used."""
        for spare_s, empty in ((self._limits.left_s, True), (self._limits.spare_s, False)):
            spare = [
                session
                for session in self._held.values()
                if session is not besides
                and self._unused_s(session) >= spare_s
                and not (empty and session.held_bytes)
            ]
            if spare:
                self.drop(min(spare, key=lambda session: session.used_at).id)
                return True
        return False

    def _unused_s(self, session: UserSession) -> float:
        return self._clock() - session.used_at


def _counted(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
