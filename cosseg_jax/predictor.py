"""Segments what a group of photographs shares: `load` gives a `Predictor`, calling it the masks.

The modulators look at the whole group, everything else at photographs one by one. So photographs
stream through the network in chunks of a fixed size, twice: first to be described, then, when all
descriptions have been related to each other, to be segmented. What is kept of each photograph is
small (about 0.5 MB, itself at the network's size included), whatever its own size.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8
from ml_collections import ConfigDict

from cosseg_jax.data.transforms import resized_image
from cosseg_jax.exports import load_exported
from cosseg_jax.models.marked import marked_prior
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.photographs import Photo, read_photograph
from cosseg_jax.pictures import resized
from cosseg_jax.predict import prediction_options
from cosseg_jax.prompts import Prompt, coverage, region
from cosseg_jax.refinement import refined
from cosseg_jax.types import Description, FeatureMaps, Ndarray, Relation, SpatialPrior

CHUNK = 5  # photographs that the network sees at once
KEPT_MAPS = 40  # photographs in a group up to which their maps are kept: some 6 MB each at 224
SUREST = 0.01  # share of a photograph's pixels that says whether the object is in it
THRESHOLD = 0.5

Progress = Callable[[int, int], None]  # of how many photographs are done, and how many there are


@dataclasses.dataclass(frozen=True)
class PhotoResult:
    """One photograph's share of a group's result.

    name: the file's name without suffix, or the photograph's place in the group.
    photo: the photograph as it was given: a path, not its content.
    height, width: its own, upright.
    map: probability of the shared object, 0..1, at the network's size.
    prior: S, the spatial modulator's indicator; positive where it expects the object.
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
        return read_photograph(self.photo, self.name).image

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

    photos: tuple[PhotoResult, ...]
    categories: dict[str, float]


class Predictor:
    """A trained network that segments groups of photographs; `load` makes one.

    categories: names of the categories that the network was trained on.
    options: how it predicts; `refine` and `mirror` may be exchanged, by `options._replace`.
    """

    def __init__(self, config: ConfigDict, variables: Mapping[str, Any]):
        self.categories = tuple(config.categories)
        self.options = prediction_options(config)
        self._network = from_config(config.model, len(self.categories))
        self._variables = jax.device_put(dict(variables))

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
            ValueError: if there are none, for one that does not decode (names it), or a prompt
                that does not fit its photograph.
            FileNotFoundError: for a path that leads nowhere.
        """
        if isinstance(photos, str | bytes | Path) or not len(photos):
            raise ValueError("photos is no list of one or more photographs")
        if names is not None and len(names) != len(photos):
            raise ValueError(f"there are {len(names)} names for {len(photos)} photographs")
        if chunk < 1:
            raise ValueError(f"chunk is {chunk}; it takes 1 or more")
        read = [self._read(photo, number) for number, photo in enumerate(photos, start=1)]
        if names is not None:
            read = [photo._replace(name=name) for photo, name in zip(read, names, strict=True)]
        mark = None if prompt is None else _mark_of(prompt, read)
        small = np.stack([photo.small for photo in read])  # [N, S, S, 3]
        report = _halfway(progress, len(read), 2 if self.options.mirror else 1)
        maps, relation = self._predict(small, mark, chunk, report)
        if self.options.mirror:
            mark = mark and mark._replace(marked=mark.marked[:, ::-1])
            mirrored, _ = self._predict(small[:, :, ::-1], mark, chunk, report)
            maps = (maps + mirrored[..., ::-1]) / 2
        return self._result(read, maps, relation)

    def _read(self, photo: Photo, number: int) -> "_Small":
        name, image = read_photograph(photo, str(number))
        height, width = image.shape[:2]
        return _Small(name, photo, height, width, resized_image(image, self.options.image_size))

    def _predict(
        self,
        images: UInt8[Ndarray, "N S S 3"],
        mark: "_Mark | None",
        chunk: int,
        report: Callable[[int], None],
    ) -> tuple[Float[Ndarray, "N S S"], Relation]:
        """Probabilities, and what the photographs have in common."""
        count = len(images)
        described, kept = [], []
        for number, (part, used) in enumerate(_chunks(images, chunk)):
            maps = self._encode(self._variables, part)
            weights = _weights(mark, number * chunk, maps.stride32.shape)
            description = self._describe(self._variables, maps, weights)
            described.append(jax.tree.map(lambda x, n=used: np.asarray(x[:n]), description))
            if count <= KEPT_MAPS:
                kept.append(maps)
            report(used)
        whole = jax.tree.map(lambda *x: np.concatenate(x)[None], *described)  # [1, N, ...]
        relation = jax.device_get(self._relate(self._variables, whole, count))
        if mark is not None:
            relation = _guided(relation, whole, mark)
        found = []
        for number, (part, used) in enumerate(_chunks(images, chunk)):
            maps = kept[number] if kept else self._encode(self._variables, part)
            shared = _of_chunk(relation, number * chunk, len(part))
            found.append(np.asarray(self._segment(self._variables, maps, shared))[0, :used])
            report(used)
        return np.concatenate(found), relation

    @functools.cached_property
    def _encode(self) -> Callable[..., FeatureMaps]:
        network = self._network
        return jax.jit(lambda v, x: network.apply(v, x, train=False, method="encode"))

    @functools.cached_property
    def _describe(self) -> Callable[..., Description]:
        network = self._network
        return jax.jit(lambda v, maps, w: network.apply(v, maps, w, method="describe"))

    @functools.cached_property
    def _relate(self) -> Callable[..., Relation]:
        network = self._network

        def relate(variables: Any, description: Description, photos: int) -> Relation:
            return network.apply(variables, description, 1, photos, method="relate")  # type: ignore

        return jax.jit(relate, static_argnums=2)

    @functools.cached_property
    def _segment(self) -> Callable[..., jax.Array]:
        network, size = self._network, (self.options.image_size, self.options.image_size)

        def segment(variables: Any, maps: FeatureMaps, relation: Relation) -> jax.Array:
            maps = jax.tree.map(lambda x: x[None], maps)  # [1, M, h, w, C]
            return jax.nn.sigmoid(
                network.apply(variables, maps, relation, size, method="segment")  # type: ignore
            )

        return jax.jit(segment)

    def _result(
        self, read: Sequence["_Small"], maps: Float[Ndarray, "N S S"], relation: Relation
    ) -> GroupResult:
        photos = tuple(
            PhotoResult(
                *photo[:4],
                map=each,
                prior=S,
                presence=presence_of(each),
                refine=self.options.refine,
            )
            for photo, each, S in zip(read, maps, relation.prior.indicator[0], strict=True)
        )
        logits = relation.semantics.class_logits[0]
        scores = 1 / (1 + np.exp(-np.float64(logits)))
        return GroupResult(photos, dict(zip(self.categories, scores.tolist(), strict=True)))


class _Small(NamedTuple):
    """What is kept of a photograph that was read: name, source, own size, and itself resized."""

    name: str
    photo: Photo
    height: int
    width: int
    small: UInt8[Ndarray, "S S 3"]


class _Mark(NamedTuple):
    """A photograph's place in the group, and its marked pixels."""

    photo: int
    marked: Bool[Ndarray, "H W"]


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


def _chunks(
    images: UInt8[Ndarray, "N S S 3"], chunk: int
) -> Iterator[tuple[UInt8[Ndarray, "M S S 3"], int]]:
    """Consecutive photographs, M = `chunk` of them; the last ones, filled up, and how many count.

    All of one size, so that the network is compiled once.
    """
    for first in range(0, len(images), chunk):
        part = images[first : first + chunk]
        missing = chunk - len(part)
        yield np.pad(part, ((0, missing), (0, 0), (0, 0), (0, 0))), len(part)


def _mark_of(prompt: Prompt, read: Sequence[_Small]) -> _Mark:
    if not 0 <= prompt.photo < len(read):
        raise ValueError(
            f"the prompt marks photograph {prompt.photo}; the group's are 0 to {len(read) - 1}"
        )
    photo = read[prompt.photo]
    return _Mark(prompt.photo, region(prompt, photo.height, photo.width))


def _weights(
    mark: _Mark | None, first: int, shape: tuple[int, ...]
) -> Float[Ndarray, "M h w"] | None:
    """Of the cells of a chunk's photographs, by what is marked; None where nothing is."""
    count, height, width = shape[:3]
    if mark is None or not first <= mark.photo < first + count:
        return None
    weights = np.full((count, height, width), 1 / (height * width), np.float32)
    weights[mark.photo - first] = coverage(mark.marked, height, width)
    return weights


def _guided(relation: Relation, whole: Description, mark: _Mark) -> Relation:
    """The relation with its spatial prior drawn towards the marked object."""
    if whole.fused is None:
        return relation
    fused = whole.fused[0]  # [N, h, w, d]
    weights = coverage(mark.marked, *fused.shape[1:3])
    indicator = marked_prior(fused, relation.prior.indicator[0], mark.photo, weights)
    return relation._replace(prior=relation.prior._replace(indicator=np.asarray(indicator)[None]))


def _of_chunk(relation: Relation, first: int, count: int) -> Relation:
    """The relation with S of `count` photographs only; zero beyond the last one."""
    indicator = relation.prior.indicator[:, first : first + count]
    missing = count - indicator.shape[1]
    indicator = np.pad(indicator, ((0, 0), (0, missing), (0, 0), (0, 0)))
    return relation._replace(prior=SpatialPrior(jnp.asarray(indicator), relation.prior.loss))


def _halfway(progress: Progress | None, count: int, passes: int) -> Callable[[int], None]:
    """Counts photographs that went through one of the two halves of `passes` passes."""
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done // (2 * passes), count)

    return report
