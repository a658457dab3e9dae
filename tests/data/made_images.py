"""Encoded images that the tests make on the spot, among them PNG files that Pillow cannot write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

GREY = np.array([[0, 60], [120, 255]], dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    """An image as the bytes of a file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def palette_image(indices, colours: dict[int, tuple[int, int, int]]) -> Image.Image:
    """An image with a palette, whose other colours are black."""
    indices = np.asarray(indices, np.uint8)
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette([channel for index in range(256) for channel in colours.get(index, (0, 0, 0))])
    return image


def deep_png(values: np.ndarray, significant_bits: int | None = None) -> bytes:
    """A 16-bit PNG of grey [H, W] or colours [H, W, 3], with the chunk sBIT if bits are given."""
    height, width = values.shape[:2]
    colours = values.ndim == 3
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    bits = (
        []
        if significant_bits is None
        else [(b"sBIT", bytes([significant_bits] * (3 if colours else 1)))]
    )
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if colours else 0, 0, 0, 0)),
        *bits,
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces so many pixels and holds none."""
    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size) + _chunk(b"IDAT", b"")


def rgb_profile(to_xyz: np.ndarray, gamma: float | None) -> bytes:
    """An ICC profile of RGB colours.

    to_xyz: [3, 3], from linear RGB to XYZ adapted to D50; gamma: the exponent, None for sRGB's.
    """
    curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if gamma is None else (gamma,)
    kind = 0 if gamma is not None else 3
    trc = b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*curve)
    white = b"XYZ \0\0\0\0" + _fixed(0.9642, 1.0, 0.8249)
    columns = [b"XYZ \0\0\0\0" + _fixed(*column) for column in to_xyz.T]
    tags = dict(wtpt=white, rXYZ=columns[0], gXYZ=columns[1], bXYZ=columns[2])
    tags |= dict(rTRC=trc, gTRC=trc, bTRC=trc)
    offset, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", offset + len(data), len(content))
        data += content
    header = struct.pack(">I4sI", offset + len(data), b"\0\0\0\0", 0x04200000) + b"mntrRGB XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + _fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(65536 * number)) for number in numbers)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum
