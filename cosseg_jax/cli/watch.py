"""`cosseg apply --watch`: photos are applied to a concept as they arrive in folders."""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cosseg_jax.cli.inputs import ListedPhoto, photos_below
from cosseg_jax.errors import UserError, one_line

INTERVAL_S = 2.0  # between two looks at the folders
SPARE = 5  # times as long as a look takes is waited until the next, where folders are large
ANNOTATIONS_S = 60.0  # at least, between two times that the annotations are written

Stamp = tuple[int, int]  # a file's size and the time of its last change, in nanoseconds


class Arrivals:
    """The photos in folders that are new, once they are whole.

    A file counts as whole when its size and time are the same at two looks in a row. One that
    cannot be read is given again when it has changed.

    out: a folder that is never looked into. is_found: whether a photo needs no further look.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        recursive: bool,
        out: Path,
        is_found: Callable[[Path], bool],
    ):
        self._folders, self._recursive, self._out = folders, recursive, out
        self._is_found = is_found
        self._seen: dict[Path, Stamp] = {}
        self._given: dict[Path, Stamp] = {}

    def look(self) -> list[ListedPhoto]:
        """The photos that have become whole since the last look."""
        now = {path: stamp for path in self._waiting() if (stamp := _stamp(path))}
        whole = [
            path
            for path, stamp in now.items()
            if self._seen.get(path) == stamp and self._given.get(path) != stamp
        ]
        self._seen = now
        self._given |= {path: now[path] for path in whole}
        return [ListedPhoto(path, False) for path in whole]

    def _waiting(self) -> Iterator[Path]:
        for folder in self._folders:
            for photo in photos_below(folder, self._out, recursive=self._recursive):
                if not self._is_found(photo.path):
                    yield photo.path


def check_folders(photos: Sequence[Path]) -> None:
    """Raises UserError for what is no folder."""
    for path in photos:
        if not path.is_dir():
            raise UserError(f"{one_line(str(path))} is not a folder; --watch takes folders")


def watch(
    arrivals: Arrivals,
    add: Callable[[Sequence[ListedPhoto], threading.Event], None],
    write_annotations: Callable[[], object],
) -> None:
    """Has new photos added until Ctrl-C or SIGTERM, which end it after the photo that it is at.

    add: takes photos, and an event that says when to end.
    write_annotations: called when nothing new has come, if something has since the last time.
    """
    with _ended_by_signal() as stop:
        print("watching; end it with Ctrl-C", file=sys.stderr)
        is_written, written_at = True, -ANNOTATIONS_S
        while not stop.is_set():
            began = time.monotonic()
            new = arrivals.look()
            took = time.monotonic() - began
            if new:
                add(new, stop)
                is_written = False
            elif not is_written and time.monotonic() - written_at >= ANNOTATIONS_S:
                write_annotations()
                is_written, written_at = True, time.monotonic()
            stop.wait(max(INTERVAL_S, SPARE * took))


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts."""
    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stamp(path: Path) -> Stamp | None:
    """A file's stamp; None for one that is empty or has gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if status.st_size else None
