"""A group's masks and cut-outs as a zip, made photograph by photograph while it is sent."""

import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from cosseg_jax.data.images import read_image
from cosseg_jax.predict.predictor import GroupResult
from cosseg_jax.types import Ndarray
from cosseg_jax.web.prompts import mark_as_json
from cosseg_jax.web.uploads import opened
from cosseg_jax.web.work import Job

COMPRESSION = 3  # of PNG, 0..9: the largest files take a second instead of five


def archive(job: Job, threshold: float) -> Iterator[bytes]:
    """The zip of a finished job, part by part.

    masks/<name>.png: 8-bit grey, 255 where the probability is above the threshold, else 0.
    cutouts/<name>.png: the photograph with the mask as its alpha.
    group.json: threshold, mark, and of each photograph its name, size and presence.
    """
    assert job.result is not None
    sent = _Sent()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED) as file:  # PNG is compressed already
        for photo, found in zip(job.photos, job.result.photos, strict=True):
            image = read_image(opened(photo.content, photo.name), photo.name).image
            mask = found.mask_at(threshold)
            file.writestr(f"masks/{photo.name}.png", _png(mask.astype(np.uint8) * np.uint8(255)))
            yield sent.taken()
            file.writestr(f"cutouts/{photo.name}.png", _png(cut_out(image, mask)))
            yield sent.taken()
        file.writestr("group.json", json.dumps(_described(job, job.result, threshold), indent=2))
    yield sent.taken()


def cut_out(image: UInt8[Ndarray, "H W 3"], mask: Bool[Ndarray, "H W"]) -> UInt8[Ndarray, "H W 4"]:
    """A photograph with its mask as alpha; black where it is transparent."""
    alpha = mask[..., None].astype(np.uint8)  # [H, W, 1]
    return np.concatenate([image * alpha, alpha * np.uint8(255)], axis=2)  # [H, W, 4]


class _Sent(io.RawIOBase):
    """A file that is written only, and gives away what was written."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _png(picture: np.ndarray) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format="PNG", compress_level=COMPRESSION)
    return encoded.getvalue()


def _described(job: Job, result: GroupResult, threshold: float) -> dict:
    mark = mark_as_json(job.mark)
    if job.mark is not None and mark is not None:
        mark["photo"] = job.photos[job.numbers.index(job.mark.image)].name
    photos = [
        dict(name=each.name, width=each.width, height=each.height, presence=round(each.presence, 4))
        for each in result.photos
    ]
    return dict(threshold=threshold, mark=mark, photos=photos)
