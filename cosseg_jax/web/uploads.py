"""A user's file to what the server keeps of it: checked, named, with a small picture to show."""

import functools
import io
from collections.abc import Collection
from typing import NamedTuple

from PIL import Image

from cosseg_jax.data import images
from cosseg_jax.data.images import read_image
from cosseg_jax.errors import UserError
from cosseg_jax.web.limits import MEGA, Limits, megabytes

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
PREVIEW = 1280  # longest side of the picture that the page shows, in pixels
QUALITY = 85  # of its JPEG
LONGEST_NAME = 80
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


class Kept(NamedTuple):
    """A photograph in a session.

    name: of its file, without folder and suffix; no two of a session are alike.
    content: the file as it came.
    width, height: in pixels, upright.
    preview: a JPEG of at most PREVIEW pixels a side, upright.
    """

    name: str
    content: bytes
    width: int
    height: int
    preview: bytes


def keep(content: bytes, name: str, limits: Limits) -> Kept:
    """Decodes a file once, so that whatever is wrong with it is said now.

    Raises UserError, naming the file, for what is too large or no photograph.
    """
    if len(content) > limits.file_bytes:
        raise UserError(too_heavy(name, limits))
    try:
        photo = opened(content, name)
        if photo.width * photo.height > limits.pixels:
            raise UserError(
                f"{name} has {photo.width} x {photo.height} pixels, more than "
                f"{limits.pixels / MEGA:.3g} million; make it smaller first"
            )
        upright = Image.fromarray(read_image(photo, name).image)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{name} has far too many pixels; make it smaller first") from error
    except Exception as error:  # Pillow raises anything on a file made to hurt
        raise UserError(f"{name} does not decode; give an intact copy of it") from error
    return Kept(name, content, upright.width, upright.height, preview_of(upright))


def opened(content: bytes, name: str) -> Image.Image:
    """A file as a picture whose pixels are not decoded yet; of the formats of photographs only.

    Raises UserError for any other file.
    """
    if content[4:8] == b"ftyp" and content[8:12] in HEIF_BRANDS and not images.register_heic():
        raise UserError(
            f"{name} is a HEIC file; export it as JPEG, or pip install pillow-heif where "
            "cosseg app runs"
        )
    try:
        return Image.open(io.BytesIO(content), formats=readable_formats())
    except OSError as error:
        raise UserError(
            f"{name} is no photograph, or is damaged; give one of {', '.join(readable_formats())}"
        ) from error


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow opens, and HEIC where its library is there."""
    Image.init()
    found = tuple(name for name in FORMATS if name in Image.OPEN)
    return (*found, "HEIF") if images.register_heic() else found


def accepted_types() -> str:
    """What a browser offers to choose, as the `accept` of an input of files."""
    types = [f"image/{name.lower()}" for name in readable_formats()]
    if "HEIF" in readable_formats():  # of which not all systems know the type
        types += ["image/heic", *images.HEIC_SUFFIXES]
    return ",".join(types)


def preview_of(picture: Image.Image) -> bytes:
    """A JPEG of at most PREVIEW pixels a side."""
    smaller = picture.copy()
    smaller.thumbnail((PREVIEW, PREVIEW))
    encoded = io.BytesIO()
    smaller.save(encoded, format="JPEG", quality=QUALITY)
    return encoded.getvalue()


def named(given: str, taken: Collection[str]) -> str:
    """A file's name without folder and suffix, fit for any file system and unlike those taken."""
    base = given.replace("\\", "/").rpartition("/")[2]
    stem = base.rpartition(".")[0] or base
    clean = "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in stem)
    clean = clean[:LONGEST_NAME].strip(" .") or "photograph"
    folded = {name.casefold() for name in taken}
    name, number = clean, 1
    while name.casefold() in folded:
        number += 1
        name = f"{clean} ({number})"
    return name


def too_heavy(name: str, limits: Limits) -> str:
    """What is said of a file above the limit."""
    most = megabytes(limits.file_bytes)
    return f"{name} is larger than {most}, the most for one photograph; make it smaller first"
