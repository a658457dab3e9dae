"""What the benchmarks' original distributions have in common."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cosseg_jax.errors import MissingFileError

LOSSLESS_SUFFIXES = (".bmp", ".png")  # of masks that count where JPEG copies lie beside them


def root_at_or_below(folder: Path, places: Sequence[str], parts: Sequence[str]) -> Path | None:
    """The first of a folder's places, each a path from it, that has all the parts as folders."""
    for root in (folder / place for place in places):
        if all((root / part).is_dir() for part in parts):
            return root
    return None


def check_none_missing(missing: Iterable[Path | str], why: str) -> None:
    """Raises MissingFileError, with their number and the first one, if any files are missing.

    Args:
      missing: the files.
      why: what needs them, and what to do, as the rest of the sentence.
    """
    files = list(missing)
    if files:
        raise MissingFileError(f"{len(files)} missing, the first being {files[0]}: {why}")
