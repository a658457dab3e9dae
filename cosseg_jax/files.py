"""Names and writes result files: each whole or not at all, and never over a file unasked.

Also says where the package keeps what it can make again (`cache_dir`).
"""

import contextlib
import errno
import functools
import io
import os
import stat
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np
from jaxtyping import Bool
from PIL import Image

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PNG_COMPRESSION = 3  # of 0..9: photos take a third of the time of 6, and up to a fifth more room
LONGEST_NAME = 251  # bytes, so that four more for a suffix fit into what file systems allow
NAME_KEPT = 40  # characters of a file's name in that of its unfinished one
UNFINISHED_KEPT = 24 * 3600  # seconds until an unfinished file counts as left by a killed writer
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # errors of file systems
FORBIDDEN = frozenset('<>:"/\\|?*')  # in file names, by Windows
UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode categories: control, surrogates, line breaks
DEVICES = frozenset(  # names that Windows keeps for itself, with any suffix
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)


def portable_name(name: str, longest: int = LONGEST_NAME) -> str:
    """The name, without folder or suffix, as Linux, macOS and Windows all allow it.

    Forbidden characters become "_", trailing dots and spaces go, a device's name (CON, COM1) gets
    a leading "_", and what exceeds `longest` bytes of UTF-8 is cut off.
    """
    replaced = "".join(
        "_" if c in FORBIDDEN or unicodedata.category(c) in UNPRINTABLE else c for c in name
    )
    if replaced.partition(".")[0].rstrip().casefold() in DEVICES:
        replaced = f"_{replaced}"
    short = replaced.encode()[:longest].decode(errors="ignore")
    return short.rstrip(" .") or "unnamed"


def name_key(name: str) -> str:
    """Equal for names that are one file on some disks: case and Unicode form do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def unique_names(names: Sequence[str]) -> list[str]:
    """Makes names portable and different on every disk; duplicates get a numeric suffix.

    "a", "a", "a_2" become "a", "a_3", "a_2": a name that is given stays with its owner.
    """
    portable = [portable_name(name) for name in names]
    given, taken = {name_key(name) for name in portable}, set[str]()
    unique = []
    for name in portable:
        key, candidate, number = name_key(name), name, 2
        while key in taken or (candidate != name and key in given):
            suffix = f"_{number}"
            candidate = portable_name(name, LONGEST_NAME - len(suffix)) + suffix
            key, number = name_key(candidate), number + 1
        taken.add(key)
        unique.append(candidate)
    return unique


def check_all_writable(paths: Sequence[Path], kind: str, *, force: bool = False) -> None:
    """Checks, before anything is computed, that files can be written.

    kind: what the files are, for the message.
    Raises UserError if one exists and `force` is not given, or if a folder cannot be written.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        raise UserError(
            f"{len(existing)} of the {kind} exist already, {existing[0]} the first: give another "
            "folder, or --force to overwrite them"
        )
    for parent in sorted({path.parent for path in paths}):
        _check_folder(parent)


def check_writable(path: Path, *, force: bool = False) -> None:
    """Checks, before anything is computed, that `path` can be written.

    Raises UserError if it exists and `force` is not given, or if its folder cannot be written.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it")
    if path.exists() and not force:
        raise UserError(f"{path} exists already: give another name, or --force to overwrite it")
    _check_folder(path.parent)


def save_mask(path: Path, mask: Bool[Ndarray, "H W"]) -> None:
    """Writes a mask as an 8-bit grey PNG of 0 and 255."""
    encoded = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(encoded, format="PNG")
    write_whole(path, encoded.getvalue())


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that nobody ever finds half of it, not even after a kill.

    Raises OSError, naming the path: on a full disk, for example.
    """
    # Short, for a name may be as long as the file system allows.
    unfinished = path.with_name(f".{path.name[:NAME_KEPT]}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A text file to be written piece by piece, which gets its name when it is whole.

    Raises OSError, naming the path.
    """
    unfinished = path.with_name(f".{path.name[:NAME_KEPT]}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def lock_file(file: IO[Any], *, wait: bool = True) -> None:
    """Locks an open file for this process until it is closed, which the system does after a kill.

    While another process has the lock this one waits or, without `wait`, raises BlockingIOError.
    Windows, and some file systems, have no such locks: there nothing is locked.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _check_folder(folder: Path) -> None:
    """Creates the folder and removes what killed writers left in it, or raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write into {folder}: permission denied")
    for left in folder.glob(".*.unfinished"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > UNFINISHED_KEPT:
                left.unlink()


def cache_dir() -> Path:
    """The folder of prepared data sets and compiled programs, which can be made again.

    COSSEG_CACHE_DIR if it is set, else ~/.cache/cosseg_jax. Without a home folder that can be
    written, as in some containers, it is a temporary folder, and a line on stderr says so.
    """
    if given := os.environ.get("COSSEG_CACHE_DIR"):
        return Path(given).expanduser()
    try:
        folder = Path.home() / ".cache" / "cosseg_jax"
        if folder.is_absolute():  # HOME may be anything
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    except (OSError, RuntimeError):  # no home folder, or none in which a folder can be made
        pass
    return _temporary_cache()


@functools.cache
def _temporary_cache() -> Path:
    """A folder in the system's temporary one, which nobody else can write into; says so once."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"cosseg_jax-{user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_private(folder):
        folder = Path(tempfile.mkdtemp(prefix="cosseg_jax-"))
    print(
        f"note: no home folder can be written; what is compiled is kept in {folder}, unless "
        "COSSEG_CACHE_DIR names another folder",
        file=sys.stderr,
    )
    return folder


def _is_private(folder: Path) -> bool:
    """Whether it is a folder of this user alone: compiled programs are run as they are found."""
    found = folder.lstat()
    if not hasattr(os, "getuid"):  # Windows: the temporary folder is the user's own
        return stat.S_ISDIR(found.st_mode)
    mine = found.st_uid == os.getuid() and not found.st_mode & 0o022
    return stat.S_ISDIR(found.st_mode) and mine
