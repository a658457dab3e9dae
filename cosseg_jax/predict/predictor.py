"""Segments what a group of photographs shares: `load` gives a `Predictor`, calling it the masks.

Images pass through the network in chunks (`cosseg_jax.predict.chunked`). What is kept of each image
is small (about 0.5 MB), whatever its own size.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from ml_collections import ConfigDict

from cosseg_jax.data.augment import resized_image
from cosseg_jax.data.images import Photo, check_list, read_image
from cosseg_jax.data.prompts import Prompt, region
from cosseg_jax.drawing import resized
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.chunked import Mark, Stream
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.forward import prediction_options
from cosseg_jax.predict.guided_filter import refined
from cosseg_jax.types import GroupContext, Ndarray

CHUNK = 5  # photographs that the network sees at once
SUREST = 0.01  # share of a photograph's pixels that says whether the object is in it
THRESHOLD = 0.5

Progress = Callable[[int, int], None]  # of how many photographs are done, and how many there are


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """One photograph's share of a group's result.

    name: the file's name without suffix, or the photograph's place in the group.
    photo: the photograph as it was given: a path, not its content.
    height, width: its own, upright.
    map: probability of the shared object, 0..1, at the network's size.
    prior: S, the spatial prior; positive where it expects the object.
    presence: how probable it is that the object is there at all, 0..1: the mean probability of the
        surest hundredth of the pixels.
    refine: whether the probability's edges are drawn to the photograph's own.
    """

    name: str
    photo: Photo
    height: int
    width: int
    map: Float[Ndarray, "S S"]
    prior: Float[Ndarray, "h w"]
    presence: float
    refine: bool

    @property
    def image(self) -> UInt8[Ndarray, "H W 3"]:
        """The photograph, upright RGB; read again when asked."""
        return read_image(self.photo, self.name).image

    @property
    def probability(self) -> Float[Ndarray, "H W"]:
        """Probability of the shared object at the photograph's own size; computed when asked."""
        if self.refine:
            return refined(self.map, self.image)
        return resized(self.map, (self.height, self.width))

    @property
    def mask(self) -> Bool[Ndarray, "H W"]:
        """Where the probability is above one half; empty where the object is not present."""
        return self.mask_at(THRESHOLD)

    def mask_at(self, threshold: float) -> Bool[Ndarray, "H W"]:
        """Where the probability is above a threshold; empty if `presence` is not."""
        if self.presence <= threshold:
            return np.zeros((self.height, self.width), bool)
        return self.probability > threshold


class GroupResult(NamedTuple):
    """What a group of photographs shares.

    photos: in the order in which they were given.
    categories: of each category that the network was trained on, how probable it is that the group
        shares it, 0..1. Masks do not depend on it: other objects are found as well.
    """

    photos: tuple[ImageResult, ...]
    categories: dict[str, float]


class Predictor:
    """A trained network that segments groups of photographs; `load` makes one.

    categories: names of the categories that the network was trained on.
    options: how it predicts; `refine` and `mirror` may be exchanged, by `options._replace`.
    """

    def __init__(self, config: ConfigDict, variables: Mapping[str, Any]):
        self.categories = tuple(config.categories)
        self.options = prediction_options(config)
        network = from_config(config.model, len(self.categories))
        self._stream = Stream(network, variables, self.options.image_size)

    def __call__(
        self,
        photos: Sequence[Photo],
        *,
        names: Sequence[str] | None = None,
        prompt: Prompt | None = None,
        chunk: int = CHUNK,
        progress: Progress | None = None,
    ) -> GroupResult:
        """Segments the object that the photographs share.

        Args:
            photos: one or more: paths, files' bytes, PIL images or uint8 arrays, of any sizes.
            names: of the photographs; by default files' names without suffix, or numbers from 1.
            prompt: the object, marked in one of them; the whole group follows.
            chunk: how many the network sees at once; costs memory, changes no result beyond
                rounding.
            progress: called after every chunk with the photographs done and their number.

        Raises:
            ValueError: without any, for one outside a list or one that does not decode (names it),
                or a prompt that does not fit its photograph.
            FileNotFoundError: for a path that leads nowhere.
        """
        check_list(photos)
        if names is not None and len(names) != len(photos):
            raise ValueError(f"there are {len(names)} names for {len(photos)} photographs")
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it takes 1 or more")
        read = [self._read(photo, number) for number, photo in enumerate(photos, start=1)]
        if names is not None:
            read = [photo._replace(name=name) for photo, name in zip(read, names, strict=True)]
        mark = None if prompt is None else _mark_of(prompt, read)
        small = np.stack([photo.small for photo in read])  # [N, S, S, 3]
        passes = self._stream.passes * (2 if self.options.mirror else 1)
        report = _all_passes(progress, len(read), passes)
        maps, context = self._stream(small, mark, chunk, report)
        if self.options.mirror:
            mark = mark and mark._replace(marked=mark.marked[:, ::-1])
            mirrored, _ = self._stream(small[:, :, ::-1], mark, chunk, report)
            maps = (maps + mirrored[..., ::-1]) / 2
        return self._result(read, maps, context)

    def _read(self, photo: Photo, number: int) -> "_Small":
        name, image = read_image(photo, str(number))
        height, width = image.shape[:2]
        return _Small(name, photo, height, width, resized_image(image, self.options.image_size))

    def _result(
        self, read: Sequence["_Small"], maps: Float[Ndarray, "N S S"], context: GroupContext
    ) -> GroupResult:
        photos = tuple(
            ImageResult(
                *photo[:4],
                map=each,
                prior=S,
                presence=presence_of(each),
                refine=self.options.refine,
            )
            for photo, each, S in zip(read, maps, context.prior.values[0], strict=True)
        )
        logits = context.semantics.class_logits[0]
        scores = 1 / (1 + np.exp(-np.float64(logits)))
        return GroupResult(photos, dict(zip(self.categories, scores.tolist(), strict=True)))


class _Small(NamedTuple):
    """What is kept of a photograph that was read: name, source, own size, and itself resized."""

    name: str
    photo: Photo
    height: int
    width: int
    small: UInt8[Ndarray, "S S 3"]


def load(checkpoint: str | Path | None = None) -> Predictor:
    """The predictor of an exported network; by default of the one that comes with the package.

    checkpoint: a folder that `train.py --export` wrote.
    Raises FileNotFoundError or ValueError, as `exports.load_exported`, where it is not one.
    """
    return Predictor(*load_exported(checkpoint))


def presence_of(probability: Float[Ndarray, "S S"]) -> float:
    """The mean of a map's surest hundredth: of its largest values."""
    count = max(1, round(SUREST * probability.size))
    return float(np.mean(np.partition(probability.ravel(), -count)[-count:]))


def _mark_of(prompt: Prompt, read: Sequence[_Small]) -> Mark:
    if not 0 <= prompt.photo < len(read):
        raise ValueError(
            f"the prompt marks photograph {prompt.photo}; the group's are 0 to {len(read) - 1}"
        )
    photo = read[prompt.photo]
    return Mark(prompt.photo, region(prompt, photo.height, photo.width))


def _all_passes(progress: Progress | None, count: int, passes: int) -> Callable[[int], None]:
    """Counts photographs that went through one of `passes` passes as shares of whole ones."""
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done // passes, count)

    return report
