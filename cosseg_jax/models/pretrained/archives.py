"""Zip archives of weights, .npz and .pth: never more memory than the file's size justifies."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from cosseg_jax.errors import UserError

BinaryStream = io.BufferedIOBase | IO[bytes]
MOST_EXPANSION = 20  # times the file's size; weights hardly compress
ALWAYS_ALLOWED = 100_000_000  # bytes, for weights that are mostly zeros
LFS_POINTER = b"version https://git-lfs"  # how such files begin
NUMBER_KINDS = "fiu"  # of NumPy's types: floats, integers, unsigned integers


@contextmanager
def opened_archive(file: BinaryStream) -> Iterator[zipfile.ZipFile]:
    """A zip archive that does not unpack to far more than its size. Raises ValueError if it does.

    Also raises what `zipfile` raises for a broken archive.
    """
    with zipfile.ZipFile(file) as archive:
        packed = file.seek(0, io.SEEK_END)
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > max(ALWAYS_ALLOWED, MOST_EXPANSION * packed):
            raise ValueError(f"it unpacks from {packed} bytes to {unpacked}, as no weights do")
        yield archive


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, by name.

    Raises:
        UserError: for a file that cannot be read or holds anything but numbers.
    """
    try:
        with path.open("rb") as file, opened_archive(file), np.load(path, allow_pickle=False) as z:
            arrays = dict(z)
    except Exception as error:  # NumPy raises anything on a broken file
        reason = str(error) or type(error).__name__
        if is_lfs_pointer(path):
            reason = (
                "it is a pointer of Git LFS; run git lfs pull there, or download the file itself"
            )
        raise UserError(f"{path} cannot be read as a .npz file: {reason}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in NUMBER_KINDS:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise UserError(f"{path}: {name} is of type {kind}; weights are numbers")
    return arrays


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is one with which Git replaces a large one."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER
