"""Writes masks and results as files: whole or not at all, and never over a file unasked.

Where the package keeps what it can make again.
"""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

NAME_KEPT = 40  # characters of a file's name in that of its unfinished one


def check_all_writable(paths: Sequence[Path], kind: str, *, force: bool = False) -> None:
    """Makes sure, before anything is computed, that files can be written.

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
    """Makes sure, before anything is computed, that `path` can be written.

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
    """Writes a file so that nobody ever finds half of it, not even after a kill."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, for a name may be as long as the file system allows.
    unfinished = path.with_name(f".{path.name[:NAME_KEPT]}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _check_folder(folder: Path) -> None:
    """Creates the folder, or raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write into {folder}: permission denied")


def cache_dir() -> Path:
    """Prepared data sets and compiled programs: COSSEG_CACHE_DIR, else ~/.cache/cosseg_jax."""
    return Path(os.environ.get("COSSEG_CACHE_DIR") or Path.home() / ".cache" / "cosseg_jax")
