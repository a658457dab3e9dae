"""The images of the head for unknown categories, with labels, and the network's maps of them.

Three kinds of pictures: images with masks of known categories, photographs of single objects of
others with pseudo-masks (`data.pseudo_masks`), and composites of both (`data.composites`).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cosseg_jax.data.composites import VOID, LabelledPicture, mosaic, pasted
from cosseg_jax.data.groups import category_map
from cosseg_jax.data.pseudo_masks import Saliency, object_and_void, pseudo_mask
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.predictor import Predictor
from cosseg_jax.types import Ndarray

SIDE = 96  # of the labels
MOST_PER_CATEGORY = 100  # images of a known category, beyond which no more are taken for it
KNOWN_PARTS = 0.3  # of a mosaic's parts, that are images of known categories
NAMES = ("coarse", "fine", "labels")

Pictures = Callable[[], Iterator[LabelledPicture]]


class Pool(NamedTuple):
    """The network's maps of images, with their labels (`data.composites`).

    coarse, fine: as `ChunkedNetwork.feature_maps` has them, float16.
    """

    coarse: Float[Ndarray, "n h w C"]
    fine: Float[Ndarray, "n h2 w2 D"]
    labels: Int[Ndarray, "n 96 96"]

    def joined(self, *others: "Pool") -> "Pool":
        """The images of several pools, those of this one first."""
        return Pool(*map(np.concatenate, zip(self, *others, strict=True)))


def plain_network(checkpoint: str | Path | None) -> ChunkedNetwork:
    """An exported network without what its folder adds to it; by default the one that ships."""
    return Predictor(*load_exported(checkpoint)).network


def known_pictures(source: Source) -> Pictures:
    """The images of a source with masks, at most so many of each category that more add little."""
    taken, chosen = np.zeros(len(source.categories), int), []
    categories_of: dict[int, list[int]] = {}
    for category, members in enumerate(source.members):
        for index in members:
            categories_of.setdefault(int(index), []).append(category)
    for index, categories in sorted(categories_of.items(), key=lambda item: -len(item[1])):
        if (taken[categories] < MOST_PER_CATEGORY).any():
            taken[categories] += 1
            chosen.append(index)

    def pictures() -> Iterator[LabelledPicture]:
        for example in (source[index] for index in sorted(chosen)):
            labels = category_map(example).astype(np.int16)
            yield LabelledPicture(example.image, np.where(example.void, VOID, labels))

    return pictures


def object_pictures(source: Source, network: Saliency, known: int) -> Pictures:
    """The photographs of single objects, with pseudo-masks where these are sure."""

    def pictures() -> Iterator[LabelledPicture]:
        for index in range(len(source)):
            example = source[index]
            found = pseudo_mask(network, example.image)
            if found is not None:
                covered, void = object_and_void(found)
                number = known + 1 + int(example.categories[0])
                labels = np.where(void, VOID, np.where(covered, number, 0)).astype(np.int16)
                yield LabelledPicture(resize_image(example.image, labels.shape[0]), labels)

    return pictures


def composite_pictures(
    known: Sequence[LabelledPicture],
    objects: Sequence[LabelledPicture],
    count: int,
    size: int,
    seed: int,
) -> Pictures:
    """Mosaics and pasted objects, by turns."""

    def drawn(pictures: Sequence[LabelledPicture], rng: np.random.Generator) -> LabelledPicture:
        return pictures[int(rng.integers(len(pictures)))]

    def pictures() -> Iterator[LabelledPicture]:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            if number % 2:
                parts = [
                    drawn(known if rng.random() < KNOWN_PARTS else objects, rng) for _ in range(4)
                ]
                yield mosaic(parts, size, rng)
            else:
                added = [drawn(objects, rng) for _ in range(rng.integers(1, 4))]
                yield pasted(drawn(known, rng), added, size, rng)

    return pictures


def encoded(pictures: Pictures, network: ChunkedNetwork, folder: Path) -> Pool:
    """The pool of pictures, read from `folder` if an earlier call has finished it there."""
    if not folder.is_dir():
        parts: list[Pool] = []
        for batch in tqdm(_batches(pictures(), network.chunk_size), desc=folder.name, unit="batch"):
            small = [resize_image(each.image, network.image_size) for each in batch]
            images = [EncodedImage(lambda image=image: image) for image in small]
            labels = [each.resized(SIDE, SIDE).labels for each in batch]
            maps = network.feature_maps(images)
            parts.append(Pool(maps.coarse, maps.fine, np.stack(labels)))
        if not parts:
            raise UserError(f"{folder.name}: no image is fit for training; give others")
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        for name, array in zip(NAMES, parts[0].joined(*parts[1:]), strict=True):
            np.save(unfinished / f"{name}.npy", array)
        unfinished.replace(folder)
    return Pool(*(open_memmap(folder / f"{name}.npy", mode="r") for name in NAMES))


def cache_folder(parent: Path, kind: str, *depends_on: object) -> Path:
    """A folder for maps that belong to one combination of a network and data."""
    digest = hashlib.blake2b(repr(depends_on).encode(), digest_size=6).hexdigest()
    return parent / f"{kind}-{digest}"


def known_cache(parent: Path, network: ChunkedNetwork, source: Source) -> Path:
    """The folder for the maps of a source's `known_pictures`."""
    return cache_folder(parent, "known", source_key(network, source))


def source_key(network: ChunkedNetwork, source: Source) -> tuple[object, ...]:
    """What the maps of a source's images depend on."""
    return network.digest, network.image_size, source.name, tuple(source.names)


def _batches(pictures: Iterator[LabelledPicture], size: int) -> Iterator[list[LabelledPicture]]:
    batch: list[LabelledPicture] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
