"""A user's file to what the server keeps of it: the checked file, its name and a preview."""

import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from cosseg_jax.data.file_kinds import HEIC_SUFFIXES
from cosseg_jax.data.images import read_image
from cosseg_jax.data.opening import open_header, readable_formats, register_heic
from cosseg_jax.errors import UserError
from cosseg_jax.files import unique_names
from cosseg_jax.web.limits import MEGA, Limits, megabytes

PREVIEW_SIDE = 1280  # longest side in pixels of the image that the page shows
PREVIEW_QUALITY = 85  # of its JPEG
LONGEST_SHOWN = 100  # characters of a file's name in messages
MIME_TYPES = {"DIB": "image/bmp", "JPEG2000": "image/jp2", "PPM": "image/x-portable-anymap"}


class Upload(NamedTuple):
    """An image in a session.

    name: the file's name without folder and suffix; unique in the session.
    content: the file as it was sent.
    width, height: of the upright image, in pixels.
    preview: a JPEG of the upright image of at most PREVIEW_SIDE pixels a side.
    """

    name: str
    content: bytes
    width: int
    height: int
    preview: bytes


def read_upload(content: bytes, name: str, limits: Limits) -> Upload:
    """Decodes a file, so that the user learns at once what is wrong with it.

    Raises UserError, naming the file, for one that is too large or cannot be read.
    """
    name = shown_name(name)
    if len(content) > limits.file_bytes:
        raise UserError(too_heavy(name, limits))
    with open_header(content, name) as header:
        width, height = header.size
    if width * height > limits.pixels:
        raise UserError(
            f"{name} has {width} x {height} pixels, more than {limits.pixels / MEGA:.3g} million; "
            "make it smaller first"
        )
    upright = Image.fromarray(read_image(content, name).image)
    return Upload(name, content, upright.width, upright.height, _preview(upright))


def accepted_types() -> str:
    """What a browser offers to choose: the `accept` attribute of a file input."""
    heic = register_heic()
    types = {MIME_TYPES.get(name, f"image/{name.lower()}"): None for name in readable_formats()}
    return ",".join([*types, *(("image/heic", *HEIC_SUFFIXES) if heic else ())])


def unique_name(given: str, taken: Sequence[str]) -> str:
    """A file's name without folder and suffix, portable and unlike the unique names `taken`."""
    base = given.replace("\\", "/").rpartition("/")[2]
    stem = base.rpartition(".")[0] or base
    return unique_names([*taken, stem])[-1]


def shown_name(given: str) -> str:
    """A file's name for messages, without folder and cut where it is very long."""
    base = given.replace("\\", "/").rpartition("/")[2] or "photo"
    return base if len(base) <= LONGEST_SHOWN else f"{base[:LONGEST_SHOWN]}…"


def too_heavy(name: str, limits: Limits) -> str:
    """The message for a file that is larger than its limit."""
    most = megabytes(limits.file_bytes)
    return f"{name} is larger than {most}, the most for one photo; make it smaller first"


def _preview(image: Image.Image) -> bytes:
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    encoded = io.BytesIO()
    image.save(encoded, format="JPEG", quality=PREVIEW_QUALITY)
    return encoded.getvalue()
