"""The record of a run over many photos, with which a run that was stopped goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cosseg_jax.errors import UserError
from cosseg_jax.files import portable_name

RECORD_FILE = "photos.jsonl"


class DonePhoto(NamedTuple):
    """A photo in a record: the stem of its files, and whether it could not be read."""

    stem: str
    skipped: bool


class RunRecord:
    """Lines of JSON in a folder: the run's settings, then one for each photo that is done.

    Each line is handed to the system when its photo is done, so that a kill loses no photo but the
    one that is being written.

    folder: of the run. settings: what has to be the same for the run to go on.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.path, self._settings = folder / RECORD_FILE, settings

    def begin(self) -> None:
        """Starts a new record; one that exists is replaced."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self._settings) + "\n", encoding="utf-8")

    def resume(self) -> dict[str, DonePhoto]:
        """The photos that are done, by their paths; a last line that is not whole is taken away.

        Raises UserError without a record, and for one of other settings.
        """
        if not self.path.is_file():
            raise UserError(f"{self.path} does not exist: no run to go on with; omit --resume")
        with self.path.open("rb+") as file:
            content_end = 0
            for line in file:
                content_end += len(line) if line.endswith(b"\n") else 0
            file.truncate(content_end)
        found = self._first()
        for name, value in self._settings.items():
            if found.get(name) != value:
                raise UserError(
                    f"the run in {self.path.parent} has {name} {found.get(name)!r}, this one has "
                    f"{value!r}; give another --out, or --force without --resume to begin again"
                )
        return dict(self._done(line, n) for n, line in enumerate(self.lines(), start=2))

    def add(self, line: dict[str, Any]) -> None:
        """Appends the line of a photo that is done."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> Iterator[dict[str, Any]]:
        """The photos that are done, read one after the other."""
        with self.path.open("rb") as file:
            next(file, None)
            for number, line in enumerate(file, start=2):
                yield self._parsed(line, number)

    def damage(self, number: int) -> UserError:
        """The error of a line, counted from 1, that no run has written."""
        return UserError(f"{self.path}, line {number} is damaged; begin again with --force")

    def _first(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            return self._parsed(next(file, b""), 1)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            found = json.loads(line.decode())
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self.damage(number)
        return found

    def _done(self, line: dict[str, Any], number: int) -> tuple[str, DonePhoto]:
        photo, stem, skipped = line.get("photo"), line.get("stem"), "skipped" in line
        if not isinstance(photo, str) or not isinstance(stem, str):
            raise self.damage(number)
        if stem != portable_name(stem) or skipped == ("classes" in line):
            raise self.damage(number)
        return photo, DonePhoto(stem, skipped)
