"""Pillow images of any mode to upright 8-bit sRGB, as a colour-managed viewer shows them.

Colour profiles are converted to sRGB; without one, colours count as sRGB already. Alpha is dropped.

Grey values of 16 or 32 bits are scaled to 8 by the number of bits that the file states or, where it
states none or fewer than it uses, by the smallest even number of bits, from 8, that holds the
brightest value. So 12 bits stored in a 16-bit file become 0..255 and not 0..15.
"""

import functools
import io

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageCms, ImageOps

from cosseg_jax.errors import UserError
from cosseg_jax.types import Ndarray

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
PROFILED_MODES = ("RGB", "CMYK", "L")
ORIENTATION = 0x0112  # the tag in EXIF
STRIP_PIXELS = 4_000_000


def to_srgb(image: Image.Image, name: str) -> UInt8[Ndarray, "H W 3"]:
    """An image of any mode as sRGB, 0..255, turned upright by its EXIF tag.

    Raises UserError for floating-point pixels; whatever Pillow raises on a broken image.
    """
    if image.mode == "F":
        raise UserError(
            f"{name} has floating-point pixels, and nothing tells which of them are white; "
            "save it with 8 or 16 bits a channel"
        )
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in DEEP_MODES:
        grey = _eight_bits(np.asarray(image), image.info.get("significant_bits"))
        return np.repeat(grey[:, :, None], 3, axis=2)  # [H, W, 3]
    return _pixels(_converted(_without_alpha(image), image.info.get("icc_profile")))


def _without_alpha(image: Image.Image) -> Image.Image:
    """The image in one of PROFILED_MODES."""
    if image.mode in PROFILED_MODES:
        return image
    if image.mode == "P" and image.has_transparency_data:
        image = image.convert("RGBA")  # Pillow warns about the direct conversion
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _converted(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB; without a usable profile it stays as it is."""
    transform = _transform(profile, image.mode) if profile else None
    converted = None if transform is None else ImageCms.applyTransform(image, transform)
    return image if converted is None else converted


def _pixels(image: Image.Image) -> UInt8[Ndarray, "H W 3"]:
    """The pixels as RGB, copied in strips, since Pillow takes three copies of a whole image."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height))) if rows < height else image
        pixels[top : top + rows] = np.asarray(
            strip if strip.mode == "RGB" else strip.convert("RGB")
        )
    return pixels


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's colours to sRGB; None if they are sRGB already or the profile is bad."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _eight_bits(
    values: Shaped[Ndarray, "H W"], significant_bits: int | None
) -> UInt8[Ndarray, "H W"]:
    """Scales grey values, from 0, to 0..255; see the module's docstring."""
    values = np.maximum(values, 0)
    used = int(values.max()).bit_length()
    stated = significant_bits or 16
    bits = stated if used <= stated < 16 else used + used % 2
    return (values >> max(0, bits - 8)).astype(np.uint8)
