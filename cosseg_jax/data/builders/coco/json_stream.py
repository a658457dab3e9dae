"""Reads large JSON files element by element, so that memory does not grow with the file.

instances_train2017.json has 450 MB, and several times that as Python objects. An object whose
members are arrays is enough structure to read it an element at a time.

Why not a library: on a file of 97 MB ijson 3.6 took 6.9 s of CPU with its C backend (it reads the
file once for each array) and 154 s without it; this takes 3.2 s. And ijson's memory grows with the
square of the nesting (40 kB of nested brackets took 1 GB), so that a small broken file can fill the
machine.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from cosseg_jax.errors import UserError

SPACE = re.compile(r"\s*")
CHUNK_LENGTH = 2**22  # characters read at once, at least
LONGEST_ELEMENT = 2**27  # characters, beyond which the file is taken for broken


def elements(file: Path) -> Iterator[tuple[str, Any]]:
    """Every element of every array in a file's outermost object, with the array's key.

    The file is in UTF-8, UTF-16 or UTF-32, with or without a byte order mark. Raises UserError,
    naming the file, when it is no JSON object or ends early.
    """
    with file.open("rb") as handle:
        encoding = json.detect_encoding(handle.read(4))
    with file.open(encoding=encoding) as handle:
        part = _Part(file, handle)
        part.take("{")
        while part.next() != "}":
            key = part.value()
            part.take(":")
            if part.next() != "[":
                part.value()
            else:
                part.take("[")
                while part.next() != "]":
                    yield key, part.value()
                    part.separator("]")
                part.take("]")
            part.separator("}")


class _Part:
    """The part of a JSON file that is being decoded."""

    def __init__(self, file: Path, handle: TextIO) -> None:
        self._file = file
        self._handle = handle
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0  # within the text
        self._before = 0  # characters of the file before the text
        self._ended = False

    def next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            found = SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._read_on()

    def take(self, character: str) -> None:
        if self.next() != character:
            raise self._broken(f"{character!r} is missing")
        self._at += 1

    def separator(self, closing: str) -> None:
        """Passes a comma, which only the last element goes without."""
        if self.next() != closing:
            self.take(",")

    def value(self) -> Any:
        """Decodes the next value."""
        self.next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:  # perhaps it goes on beyond the text
                if self._ended or len(self._text) - self._at > LONGEST_ELEMENT:
                    raise self._broken(error.msg) from error
            except RecursionError as error:
                raise self._broken("brackets are nested too deeply") from error
            except ValueError as error:  # a number of thousands of digits
                raise self._broken(str(error)) from error
            else:
                cut = isinstance(value, int | float) and end + len("e-") >= len(self._text)
                if not cut or self._ended:  # what looks like a number may go on beyond the text
                    self._at = end
                    return value
            self._read_on()

    def _read_on(self) -> None:
        """Reads more, and the more of it the longer the element at hand is already."""
        self._before += self._at
        rest = self._text[self._at :]
        try:
            more = self._handle.read(max(CHUNK_LENGTH, len(rest)))
        except UnicodeDecodeError as error:
            raise self._broken(str(error)) from error
        self._text, self._at, self._ended = rest + more, 0, not more

    def _broken(self, reason: str) -> UserError:
        return UserError(
            f"{self._file} is not an annotation file of COCO: {reason} at character "
            f"{self._before + self._at}; replace it by an intact copy"
        )
