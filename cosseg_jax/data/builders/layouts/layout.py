"""How a data set lies on disk: a `Layout` lists its images, each in a class and with its mask.

Each module beside this one describes one way in which a data set is distributed, as a `Layout`.
None of them decodes an image. Names are compared and returned in Unicode's composed form (NFC),
since some systems store them decomposed (NFD).
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import UInt8

from cosseg_jax.data.file_kinds import SIDECAR_SUFFIXES, SYSTEM_NAMES
from cosseg_jax.data.masks import decode_object
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.types import Ndarray

LOSSLESS_SUFFIXES = (".bmp", ".png")  # of masks that count where JPEG copies lie beside them
LONGEST_ECHO = 80  # characters of a name in a message


class LabelledImage(NamedTuple):
    """An image in a class, with its mask there.

    category: the class, as the data set's tables call it.
    stem: names the image within its class.
    image: the image's file.
    mask: the mask's file, or None where the data set has none for it.
    decode: reads the mask's file to a label map: 1 on the object, VOID_LABEL where unknown, else 0.
    """

    category: str
    stem: str
    image: Path
    mask: Path | None
    decode: Callable[[Path], UInt8[Ndarray, "H W"]] = decode_object

    @property
    def name(self) -> str:
        """Names the image within the data set: class/stem."""
        return f"{self.category}/{self.stem}"


class Layout(NamedTuple):
    """One way in which a data set is distributed.

    description: its tree of folders, for messages, in one line or more.
    find: returns its root at or below a folder, or None where there is none.
    images: returns all images below a root, sorted by class and stem; raises UserError, naming the
        file, where something is missing or ambiguous.
    """

    description: str
    find: Callable[[Path], Path | None]
    images: Callable[[Path], list[LabelledImage]]


def composed(name: str) -> str:
    """A name in the form in which names are compared (NFC)."""
    return unicodedata.normalize("NFC", name)


def stored_file(folder: Path, name: str) -> Path:
    """A file in a folder whose name may be stored composed (NFC) or decomposed (NFD).

    Where there is no file in either form, it is the path of the name as given. Raises UserError
    for a name that is too long for any file, or in a folder that may not be read.
    """
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    try:
        return next((folder / form for form in forms if (folder / form).is_file()), folder / name)
    except OSError as error:
        raise UserError(
            f"{folder}: the file {name[:LONGEST_ECHO]!r} cannot be looked for: {error.strerror}"
        ) from error


def class_folders(folder: Path) -> dict[str, Path]:
    """The folders in a folder by name, sorted, without hidden ones and systems' leftovers.

    Raises UserError when two have the same name in different Unicode forms.
    """
    return _by_name({path: path.name for path in _shown(folder) if path.is_dir()})


def files_by_stem(folder: Path, suffixes: Collection[str] | None = None) -> dict[str, Path]:
    """The files in a folder by name without suffix, sorted.

    Args:
      folder: hidden files, sidecars and systems' leftovers in it are passed over.
      suffixes: those of the files that count, in lower case; by default all count.

    Raises UserError when two have the same name but for suffix or Unicode form.
    """
    files = {path: path.suffix.lower() for path in _shown(folder) if path.is_file()}
    return _by_name(
        {
            file: file.stem
            for file, suffix in files.items()
            if (suffix not in SIDECAR_SUFFIXES if suffixes is None else suffix in suffixes)
        }
    )


def class_files(folder: Path) -> dict[str, Path]:
    """`files_by_stem` of a class folder, which must have some; else raises UserError."""
    files = files_by_stem(folder)
    if not files:
        raise UserError(f"class folder {folder} is empty; add its images, or remove the folder")
    return files


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


def _shown(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in SYSTEM_NAMES
    )


def _by_name(names: dict[Path, str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path, name in names.items():
        if composed(name) in found:
            first = found[composed(name)]
            raise UserError(f"{first} and {path} have the same name; keep one of them")
        found[composed(name)] = path
    return dict(sorted(found.items()))
