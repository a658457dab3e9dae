"""Files and bytes to Pillow images. Their content may come from anybody, so it is opened with care.

Only the formats named here are opened: others would make Pillow start another program, such as
Ghostscript for EPS. Files that cannot be read as what they show are refused, with what to do:
camera raw files, of which Pillow reads the thumbnail; JPEG files whose many scans take minutes; and
images with more pixels than Pillow's limit. HEIC is read where pillow-heif is installed.
"""

import functools
import importlib.util
import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from cosseg_jax.data.file_kinds import RAW_SUFFIXES
from cosseg_jax.errors import MissingFileError, MissingPackageError, UserError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")  # of AVIF: avif, avis
HEIC_LIBRARY = "pillow_heif"
SUBFILE_TYPE, BITS_PER_SAMPLE, MAX_SAMPLE_VALUE, DNG_VERSION = 254, 258, 281, 50706  # in TIFF
START_OF_SCAN = b"\xff\xda"
MAX_SCANS = 100  # of a JPEG file; encoders write at most about 20

# Editors write megabytes of XMP into a PNG file; Pillow's limit on all of its text remains.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


def open_image(encoded: bytes | Path, name: str = "") -> Image.Image:
    """Opens and decodes an image, given as a file's bytes or its path; of an animation the first.

    `info["significant_bits"]` holds the bits of a sample, where a 16-bit file states fewer.

    Raises UserError, naming `name` or the path, for what is not to be opened or does not decode;
    MissingPackageError for HEIC without pillow-heif; MissingFileError for a path without a file.
    """
    opened = open_header(encoded, name)
    load_pixels(opened, label_of(encoded, name))
    return opened


def load_pixels(opened: Image.Image, label: str) -> None:
    """Decodes the pixels of an opened image, where that is still to be done; raises UserError."""
    if opened.format == "TIFF":
        _check_first_directory(opened, label)
    deep = "RGB" in opened.mode and ";16" in str(getattr(opened, "tile", ""))
    try:
        opened.load()
    except Exception as error:  # Pillow raises anything on a broken file
        if "closed" in str(error) or isinstance(error, AssertionError):  # of Pillow: no file
            raise UserError(
                f"{label} is a PIL image whose file was closed before it was read; call its "
                "load() first, or give the file's path"
            ) from error
        raise UserError(undecodable(label, error)) from error
    if deep:
        _check_depth(opened, label)


def open_header(encoded: bytes | Path, name: str = "") -> Image.Image:
    """Opens an image as `open_image` does, but decodes no pixels; raises the same."""
    label = label_of(encoded, name)
    content = encoded if isinstance(encoded, bytes) else _content_of(encoded)
    _check_content(content, label)
    try:
        opened = Image.open(io.BytesIO(content), formats=readable_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(
            f"{label} has more pixels than are read ({error}); make it smaller first, or, in "
            "Python, raise PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:
        raise UserError(undecodable(label, error if content else "it is empty")) from error
    if bits := _significant_bits(opened, content):
        opened.info["significant_bits"] = bits
    return opened


def limit_pixels(megapixels: int | float = 250) -> None:
    """Sets how many pixels an image may have, for the whole process: Pillow's own limit.

    For programs; Pillow's default refuses images above 179 megapixels and warns above 89.
    """
    Image.MAX_IMAGE_PIXELS = int(1e6 * megapixels) // 2  # more warn, more than twice are refused
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@functools.cache
def _pillow_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def readable_formats() -> tuple[str, ...]:
    """The formats that are opened: those of FORMATS that this Pillow has; HEIF once registered."""
    return (*_pillow_formats(), "HEIF") if "HEIF" in Image.OPEN else _pillow_formats()


def register_heic() -> bool:
    """Makes Pillow able to open HEIC files; False if pillow-heif is not installed."""
    if "HEIF" in Image.OPEN:
        return True
    if importlib.util.find_spec(HEIC_LIBRARY) is None:
        return False
    importlib.import_module(HEIC_LIBRARY).register_heif_opener()
    return True


def label_of(encoded: bytes | Path, name: str) -> str:
    """What a message calls an image: its name, else its path."""
    return name or (str(encoded) if isinstance(encoded, Path) else "(unnamed)")


def undecodable(label: str, reason: Exception | str) -> str:
    """The message for an image that does not decode."""
    if isinstance(reason, UnidentifiedImageError):
        reason = f"it is none of {', '.join(readable_formats())}"
    return f"{label} does not decode as an image ({reason}); replace the file by an intact copy"


def _content_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _check_content(content: bytes, label: str) -> None:
    """Raises where the bytes alone tell that the image cannot be read, and registers HEIC."""
    if Path(label).suffix.lower() in RAW_SUFFIXES or content[8:10] == b"CR":
        raise UserError(f"{label} is a camera raw file; export it as JPEG")
    if content[4:8] == b"ftyp":
        brands = content[8 : int.from_bytes(content[:4])]
        if any(brand in brands for brand in HEIC_BRANDS) and not register_heic():
            raise MissingPackageError(
                f"{label} is a HEIC file; to read it, pip install pillow-heif, or export it as JPEG"
            )
    if content.startswith(b"\xff\xd8") and content.count(START_OF_SCAN) > MAX_SCANS:
        raise UserError(
            f"{label} is a JPEG file of {content.count(START_OF_SCAN)} scans, which would take "
            f"minutes to decode; the most is {MAX_SCANS}. Save it again with an image editor"
        )


def _check_first_directory(opened: Image.Image, label: str) -> None:
    """Raises for a TIFF file whose first image is a reduced one, as in camera raw files."""
    is_dng = DNG_VERSION in opened.tag_v2  # type: ignore[attr-defined]
    if is_dng or _tiff_number(opened, SUBFILE_TYPE) & 1:
        raise UserError(
            f"{label} begins with a thumbnail, as camera raw files do; export it as JPEG"
        )


def _check_depth(opened: Image.Image, label: str) -> None:
    """Raises for 16-bit colours of which only low bits are used: Pillow keeps the high byte."""
    brightest = int(np.max(opened.convert("RGB").getextrema()))
    if brightest < 64:
        raise UserError(
            f"{label} has 16 bits a channel, of which its colours use the lowest "
            f"{8 + brightest.bit_length()} at most; scale them to the whole range, or save 8 bits"
        )


def _significant_bits(opened: Image.Image, content: bytes) -> int | None:
    """How many bits of a sample are used, where the file states it."""
    if opened.format == "TIFF":
        brightest = _tiff_number(opened, MAX_SAMPLE_VALUE)
        return brightest.bit_length() or _tiff_number(opened, BITS_PER_SAMPLE)
    return _stated_by_png(content) if opened.format == "PNG" else None


def _tiff_number(opened: Image.Image, tag: int) -> int:
    """The largest number in a tag of a TIFF file; 0 where it is missing or broken."""
    try:
        return int(np.max(opened.tag_v2[tag]))  # type: ignore[attr-defined]
    except (KeyError, TypeError, ValueError):
        return 0


def _stated_by_png(content: bytes) -> int | None:
    """The bits of the first channel that a PNG file's chunk sBIT states."""
    position = 8
    while position + 8 < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"sBIT":
            return content[position + 8]
        if kind == b"IDAT":
            return None
        position += 12 + length
    return None
