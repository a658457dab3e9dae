"""A group's masks and cut-outs as a zip file, made image by image while it is sent."""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from cosseg_jax.data.images import read_image
from cosseg_jax.files import PNG_COMPRESSION
from cosseg_jax.predict.result import GroupResult, ImageResult, rounded
from cosseg_jax.types import Ndarray
from cosseg_jax.web.prompts import prompts_as_json
from cosseg_jax.web.uploads import Upload
from cosseg_jax.web.work import GroupJob

PIECE_BYTES = 1_000_000  # that are handed to the connection at a time

InThread = Callable[..., Awaitable[tuple[bytes, bytes]]]  # a function and its arguments


async def archive_pieces(
    job: GroupJob, threshold: float, in_thread: InThread
) -> AsyncIterator[bytes]:
    """The zip file of a finished job, piece by piece.

    masks/<name>.png: 8-bit grey, 255 where the probability exceeds the threshold, else 0.
    cutouts/<name>.png: the photo with the mask as its alpha channel.
    group.json: threshold, confidence, prompts, and for each photo its name, size and presence.

    in_thread: computes the two files of an image; the zip file waits for it, other users do not.
    """
    assert job.result is not None
    written = _Written()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as file:  # PNG is compressed already
        for image, result in zip(job.images, job.result.images, strict=True):
            mask, cutout = await in_thread(_image_files, image, result, threshold)
            file.writestr(f"masks/{image.name}.png", mask)
            file.writestr(f"cutouts/{image.name}.png", cutout)
            for piece in written.pieces():
                yield piece
        file.writestr("group.json", json.dumps(_described(job, job.result, threshold), indent=2))
    for piece in written.pieces():
        yield piece


def mask_as_alpha(
    image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]
) -> UInt8[Ndarray, "H W 4"]:
    """An image with its mask as alpha channel; black where it is transparent."""
    cutout = np.zeros((*mask.shape, 4), np.uint8)
    cutout[mask, :3], cutout[mask, 3] = image[mask], 255
    return cutout


class _Written(io.RawIOBase):
    """A file for writing only, from which what was written is taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._parts.append(bytes(part))
        return len(part)

    def pieces(self) -> Iterator[bytes]:
        parts, self._parts = self._parts, []
        for part in parts:
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES]


def _image_files(image: Upload, result: ImageResult, threshold: float) -> tuple[bytes, bytes]:
    """The encoded mask and cut-out of an image."""
    mask = result.mask_at(threshold)
    pixels = read_image(image.content, image.name).image
    return _zipped_png(mask.astype(np.uint8) * np.uint8(255)), _zipped_png(
        mask_as_alpha(pixels, mask)
    )


def _zipped_png(pixels: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, format="PNG", compress_level=PNG_COMPRESSION)
    return encoded.getvalue()


def _described(job: GroupJob, result: GroupResult, threshold: float) -> dict:
    name_of = dict(zip(job.numbers, (image.name for image in job.images), strict=True))
    prompts = [
        {**prompt, "photo": name_of[prompt["photo"]]} for prompt in prompts_as_json(job.prompts)
    ]
    photos = [
        dict(name=each.name, width=each.width, height=each.height, presence=round(each.presence, 4))
        for each in result.images
    ]
    confidence = rounded(result.confidence)
    return dict(threshold=threshold, confidence=confidence, prompts=prompts, photos=photos)
