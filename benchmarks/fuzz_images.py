"""Images for fuzz.py, in every format that is read: photos, masks, uploads, and small files of many
pixels.


Each kind makes valid inputs once, in its folder. It returns the function that makes and reads one
changed input, drawn from the given Random, and raises what reading raises.
"""

import contextlib
import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_mutations import PNG_START, Attempt, changed_bytes, changed_text
from PIL import Image, ImageCms

SAVED = {  # how an image is written in each format that is read
    "JPEG": [{}, {"progressive": True}],
    "PNG": [{}, {"compress_level": 0}],
    "WEBP": [{}, {"lossless": True}],
    "TIFF": [{}, {"compression": "tiff_deflate"}, {"compression": "tiff_lzw"}],
    "BMP": [{}],
    "DIB": [{}],
    "GIF": [{}],
    "AVIF": [{}],
    "JPEG2000": [{}],
    "PPM": [{}],
    "HEIF": [{}],
}
DEEP = {"I;16": np.uint16, "F": np.float32}  # modes that PIL converts nothing to
MODES = ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1", "F", "LA")
SIDE = 13_000  # pixels of a bomb, which Pillow's limit on pixels just admits


def images(folder: Path) -> Attempt:
    """Images in every format, as a user's photo."""
    from cosseg_jax.data.images import read_image

    seeds = _image_seeds()

    def attempt(rng: random.Random) -> None:
        read_image(_changed_image(seeds, rng), "photo.jpg")

    return attempt


def masks(folder: Path) -> Attempt:
    """Masks and label files, and how they are turned."""
    from cosseg_jax.data.masks import decode_labels, decode_object, turned_like, upright_size

    seeds = _image_seeds()

    def attempt(rng: random.Random) -> None:
        content = _changed_image(seeds, rng)
        act = rng.randrange(4)
        if act == 3:
            turned_like(np.zeros((3, 4), np.uint8), content)
        else:
            (decode_object, decode_labels, upright_size)[act](content)

    return attempt


def uploads(folder: Path) -> Attempt:
    """Images as the page takes them, with its previews."""
    from cosseg_jax.web.limits import Limits
    from cosseg_jax.web.uploads import read_upload, unique_name

    seeds = _image_seeds()

    def attempt(rng: random.Random) -> None:
        name = changed_text("holiday.jpg", rng)
        unique_name(name, ["holiday"])
        read_upload(_changed_image(seeds, rng), name, Limits())

    return attempt


def bombs(folder: Path) -> Attempt:
    """Small files that claim, or unpack to, far more than they hold."""
    from cosseg_jax.data.images import read_image
    from cosseg_jax.data.masks import decode_object
    from cosseg_jax.data.opening import register_heic

    register_heic()
    made = _bombs()
    names = sorted(made)

    def attempt(rng: random.Random) -> None:
        (read_image if rng.random() < 0.5 else decode_object)(made[rng.choice(names)], "bomb")

    return attempt


def _image_seeds() -> dict[str, list[bytes]]:
    """Small images by format: of every mode that it has, with EXIF, profile and several pages."""
    from cosseg_jax.data.opening import readable_formats, register_heic

    register_heic()
    exif = Image.Exif()
    exif[0x0112] = 6
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found: dict[str, list[bytes]] = {}
    for form in readable_formats():
        found[form] = []
        for mode in MODES:
            for settings in [*SAVED[form], {"exif": exif, "icc_profile": srgb}]:
                with contextlib.suppress(Exception):  # not every format has every mode
                    found[form].append(saved(_noise(mode), form, **settings))
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "TIFF", "PNG"):
        found[form].append(saved(frames[0], form, save_all=True, append_images=frames[1:]))
    return found


def _noise(mode: str) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 4), np.uint8)
    if mode in DEEP:
        return Image.fromarray(pixels[..., 0].astype(DEEP[mode]))
    return Image.fromarray(pixels, "RGBA").convert(mode)


def _bombs() -> dict[str, bytes]:
    """Small files by what they claim or unpack to."""
    flat = Image.new("1", (SIDE, SIDE))
    made = {f"flat {form}": saved(flat, form) for form in ("PNG", "TIFF", "GIF")}
    made["flat deflated TIFF"] = saved(flat, "TIFF", compression="tiff_deflate")
    made["flat JPEG"] = saved(Image.new("L", (SIDE, SIDE)), "JPEG")
    small = {form: saved(Image.new("RGB", (64, 64)), form) for form in SAVED if form in Image.SAVE}
    for side in (SIDE, 2**15, 2**16 - 1, 2**31 - 1):
        made[f"PPM of {side}"] = f"P6 {side} {side} 255\n".encode() + bytes(1000)
        made[f"PNG of {side}"] = _png_of(side)
        for form, content in small.items():
            for word in ("<H", ">H", "<I", ">I"):
                if side < 256 ** struct.calcsize(word):
                    pair, large = struct.pack(word, 64) * 2, struct.pack(word, side) * 2
                    made[f"{form} of {side}, {word}"] = content.replace(pair, large)
                    pair = (struct.pack(word, 64) + bytes(2)) * 2
                    made[f"{form} of {side}, {word}, apart"] = content.replace(
                        pair, (struct.pack(word, side) + bytes(2)) * 2
                    )
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        made[f"PNG with much {kind.decode()}"] = _png_with_much(kind)
    return made


def _png_of(side: int) -> bytes:
    return (
        PNG_START
        + _chunk(b"IHDR", struct.pack(">II5B", side, side, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    )


def _png_with_much(kind: bytes) -> bytes:
    """A PNG file one chunk of which unpacks to half a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(10_000_000)) for _ in range(50)) + packer.flush()
    before = b"key\0\1\0\0\0" if kind == b"iTXt" else b"key\0\0"
    whole = saved(Image.new("RGB", (8, 8)), "PNG")
    return whole[:33] + _chunk(kind, before + packed) + whole[33:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def saved(image: Image.Image, form: str, **settings: Any) -> bytes:
    """An image as a file of a format."""
    content = io.BytesIO()
    image.save(content, form, **settings)
    return content.getvalue()


def _changed_image(seeds: dict[str, list[bytes]], rng: random.Random) -> bytes:
    of_form = seeds[rng.choice(sorted(seeds))]
    others = [rng.choice(seeds[rng.choice(sorted(seeds))])]
    return changed_bytes(rng.choice(of_form), rng, others)
