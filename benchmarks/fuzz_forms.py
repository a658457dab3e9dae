"""Requests to the HTTP API, for fuzz.py: forms with images, masks, prompts and concepts.

The kind makes valid requests once. It returns the function that makes and sends one changed
request, drawn from the given Random, and raises where the server has a fault.
"""

import io
import random
from pathlib import Path
from typing import NamedTuple

from fuzz_images import saved
from fuzz_mutations import Attempt, changed_bytes, changed_json, changed_text, encoded_json
from fuzz_requests import Server
from fuzz_toys import changed_concept, toy_concept, toy_mask, toy_photo, toy_predictor
from PIL import Image

PATIENCE_S = 2.0
BOUNDARY = "a-line-that-no-file-holds"
FIELDS = ("image", "mask", "concept", "prompts", "threshold", "instances", "label_maps", "name", "")
HEADS = (
    "Content-Disposition: form-data; name=image; filename=",
    'Content-Disposition: form-data; filename="a.png"',
    'Content-Disposition: attachment; name="image"',
    "Content-Disposition:",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "Content-Transfer-Encoding: \xff",
    "Content-Type: multipart/mixed; boundary=b",
    "X: " + "y" * 20_000,
)


class Part(NamedTuple):
    """A part of a form: a field's name, the name of its file if it is one, and its content."""

    field: str
    file: str | None
    content: bytes


def forms(folder: Path) -> Attempt:
    """Forms for /v1/segment, /v1/concepts and /v1/apply, changed in parts and as bytes."""
    server = Server(toy_predictor(), PATIENCE_S)
    for path in ("segment", "concepts", "apply"):
        for count in (1, 2):  # compiles for both
            server.check_answer(_request(*_plain_form(path, count), random.Random(0)))

    def attempt(rng: random.Random) -> None:
        path, parts = _valid_form(rng)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
            parts = _changed_parts(parts, rng)
        request = _request(path, parts, rng)
        server.check_answer(changed_bytes(request, rng) if rng.random() < 0.2 else request)

    return attempt


def _valid_form(rng: random.Random) -> tuple[str, list[Part]]:
    """A form that is answered with 200, and where it is sent."""
    size = rng.choice(((40, 30), (30, 40), (1, 1), (64, 3)))
    photos = [saved(Image.fromarray(toy_photo(n, size)), "PNG") for n in range(rng.choice((1, 2)))]
    parts = [Part("image", f"{n}.png", photo) for n, photo in enumerate(photos)]
    mask = saved(Image.fromarray(toy_mask(size)), "PNG")
    prompts = [{"photo": 0, "points": [[3, 4]], "labels": [1]}, {"photo": 0, "box": [1, 2, 9, 9]}]
    path = rng.choice(("segment", "concepts", "apply"))
    if path == "concepts" and rng.random() < 0.5:
        parts += [Part("mask", "m.png", mask)] * len(photos)
    elif path != "apply" and rng.random() < 0.7:
        parts.append(Part("mask", "m.png", mask))
        prompts = [*prompts, {"photo": 0, "mask": 0}]
        parts.append(Part("prompts", None, encoded_json(changed_json(prompts, rng), rng)))
    if path == "apply":
        content = changed_concept(rng) if rng.random() < 0.7 else toy_concept().as_bytes()
        parts.append(Part("concept", "a.concept", content))
    if path != "concepts":
        parts += [Part("threshold", None, b"0.4"), Part("label_maps", None, b"true")]
    return path, parts


def _plain_form(path: str, count: int) -> tuple[str, list[Part]]:
    """A form with so many images and nothing that is changed."""
    photos = [saved(Image.fromarray(toy_photo(n)), "PNG") for n in range(count)]
    parts = [Part("image", f"{n}.png", photo) for n, photo in enumerate(photos)]
    if path == "apply":
        parts.append(Part("concept", "a.concept", toy_concept().as_bytes()))
    return path, parts


def _changed_parts(parts: list[Part], rng: random.Random) -> list[Part]:
    parts, place = list(parts), rng.randrange(len(parts)) if parts else 0
    act = rng.randrange(6)
    if not parts or act == 0:
        parts.insert(place, Part(rng.choice(FIELDS), rng.choice((None, "a")), b"true"))
    elif act == 1:
        del parts[place]
    elif act == 2:
        parts[place:place] = parts[place : place + 1] * rng.choice((1, 2, 50))
    elif act == 3:
        parts[place] = parts[place]._replace(field=rng.choice(FIELDS))
    elif act == 4:
        parts[place] = parts[place]._replace(file=changed_text("a.png", rng))
    else:
        parts[place] = parts[place]._replace(content=changed_bytes(parts[place].content, rng))
    return parts


def _request(path: str, parts: list[Part], rng: random.Random) -> bytes:
    body = io.BytesIO()
    for part in parts:
        body.write(f"--{BOUNDARY}\r\n".encode() + _head(part, rng) + b"\r\n\r\n")
        body.write(part.content + b"\r\n")
    body.write(f"--{BOUNDARY}--\r\n".encode())
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    if rng.random() < 0.1:
        kind = rng.choice((changed_text(kind, rng)[:9000], "application/json", ""))
    content = body.getvalue()
    lines = (
        f"POST /v1/{path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: close",
        f"Content-Type: {kind}",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + content


def _head(part: Part, rng: random.Random) -> bytes:
    named = "" if part.file is None else f'; filename="{part.file}"'
    head = f'Content-Disposition: form-data; name="{part.field}"{named}'
    if rng.random() < 0.03:
        head = changed_text(head, rng) if rng.random() < 0.5 else rng.choice(HEADS)
    elif rng.random() < 0.03:
        head += "\r\n" + rng.choice(HEADS)
    return head.encode("utf-8", "replace")
