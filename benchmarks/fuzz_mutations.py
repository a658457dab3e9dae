"""Random changes of files, texts and JSON values, for fuzz.py; all drawn from a given Random."""

import contextlib
import copy
import json
import random
import shutil
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Attempt = Callable[[random.Random], None]  # makes and reads one input

PNG_START = b"\x89PNG\r\n\x1a\n"
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = ("<B", "<H", ">H", "<I", ">I", "<Q", ">Q")
TEXTS = (
    "",
    " ",
    "\0",
    "é",
    "e\u0301",
    "a" * 5000,
    "../../x",
    "/",
    "CON",
    "\ud800",
    "\uff11",
    "{}",
    "-",
)
VALUES = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, 3e8),
    *(float("nan"), float("inf"), [], {}, [[]], [None], {"": 0}, *TEXTS),
)
NESTED = 100_000  # brackets of a value that is nested too deeply to be read


def changed_bytes(content: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """The content after one to eight changes; parts of `others` may be put into it."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        _change(changed, rng, others)
    if changed.startswith(PNG_START) and rng.random() < 0.7:
        return _with_checksums(bytes(changed))
    return bytes(changed)


def changed_json(value: Any, rng: random.Random) -> Any:
    """A copy of a JSON value after one to four changes somewhere in it."""
    changed = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_place(changed, rng)
    return changed[0]


def encoded_json(value: Any, rng: random.Random) -> bytes:
    """A JSON value as a file, at times in an unusual encoding, cut, or nested too deeply."""
    text = json.dumps(value)
    draw = rng.random()
    if draw < 0.05:
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32-le", "utf-16-be")))
    if draw < 0.10:
        return text.encode()[: rng.randrange(len(text) + 1)]
    if draw < 0.12:
        place = rng.randrange(len(text) + 1)
        return (text[:place] + rng.choice("[{") * NESTED + text[place:]).encode()
    return changed_bytes(text.encode(), rng) if draw < 0.25 else text.encode()


def changed_text(text: str, rng: random.Random) -> str:
    """A text after one to four changes."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(text) + 1)
        dropped = rng.choice((0, 0, 1, 3, len(text)))
        text = text[:place] + rng.choice((*TEXTS, "\n", ",", "9" * 400)) + text[place + dropped :]
    return text


def with_changed_file(whole: Path, copied: Path, rng: random.Random) -> Path:
    """A copy of a folder in which one file is changed, removed, or replaced by a folder."""
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(whole, copied)
    file = rng.choice(sorted(path for path in copied.rglob("*") if path.is_file()))
    content, act = file.read_bytes(), rng.random()
    if act < 0.1:
        file.unlink()
    elif act < 0.13:
        file.unlink()
        file.mkdir()
    elif content.startswith((b"{", b"[")) and act < 0.6:
        with contextlib.suppress(ValueError):
            content = encoded_json(changed_json(json.loads(content), rng), rng)
        file.write_bytes(content)
    else:
        file.write_bytes(changed_bytes(content, rng))
    return copied


def _change(content: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    act = rng.randrange(8)
    # Headers are short and matter most, so half of the changes are near the start.
    size = len(content) if rng.random() < 0.5 else min(len(content), 200)
    place = rng.randrange(size + 1)
    if act == 0:
        del content[place:]
    elif act == 1:
        del content[place : place + rng.choice((1, 2, 4, 64, 1000))]
    elif act == 2:
        content[place:place] = rng.randbytes(rng.choice((1, 2, 4, 64, 1000)))
    elif act == 3:
        start = rng.randrange(len(content) + 1)
        content[place:place] = content[start : start + rng.choice((4, 64, 1000))]
    elif act == 4 and others:
        other = rng.choice(others)
        start = rng.randrange(len(other) + 1)
        part = other[start : start + rng.choice((4, 64, 1000))]
        content[place : place + len(part)] = part
    elif act == 5:
        word = rng.choice(WORDS)
        number = rng.choice(NUMBERS) & (256 ** struct.calcsize(word) - 1)
        content[place : place + struct.calcsize(word)] = struct.pack(word, number)
    elif place < len(content):
        content[place] = content[place] ^ 1 << rng.randrange(8) if act == 6 else rng.randrange(256)


def _with_checksums(content: bytes) -> bytes:
    """A PNG file with the checksums of its chunks set right, so that decoders read on."""
    fixed, place = bytearray(content), len(PNG_START)
    while place + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, place)
        end = place + 8 + length
        if end + 4 > len(fixed):
            break
        struct.pack_into(">I", fixed, end, zlib.crc32(fixed[place + 4 : end]))
        place = end + 4
    return bytes(fixed)


def _change_place(root: list[Any], rng: random.Random) -> None:
    """Changes one place of the tree whose only root is in the list."""
    parent, key = _drawn_place(root, rng)
    act = rng.randrange(6)
    if act == 0 and parent is not root:
        del parent[key]
    elif act == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif act == 2 and isinstance(parent, dict):
        parent[rng.choice((*TEXTS, *map(str, parent)))] = parent.pop(key)
    elif act == 3 and isinstance(parent[key], int | float):
        parent[key] = rng.choice((-parent[key], parent[key] + 1, parent[key] * 10**6))
    elif act == 4 and isinstance(parent[key], str):
        parent[key] = changed_text(parent[key], rng)
    else:
        parent[key] = copy.deepcopy(rng.choice(VALUES))


def _drawn_place(root: list[Any], rng: random.Random) -> tuple[Any, Any]:
    """A list or object of the tree, and an index or key in it: all depths are as likely."""
    parent, key = root, 0
    while isinstance(parent[key], list | dict) and parent[key] and rng.random() < 0.8:
        parent = parent[key]
        key = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
    return parent, key
