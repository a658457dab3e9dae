"""Trains the head for unseen categories: python -m cosseg_jax.train.agnostic_head --help

The head (`models.agnostic_head`) is to mark whatever a group shares. It is trained on three kinds
of images: those with masks of known categories (VOC), photographs of single objects of a hundred
others, masked by a salient-object network (`data.pseudo_masks`), and composites of both
(`data.composites`). The network stays as it is. Its maps of all images are computed once and kept
in --cache_dir.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jaxtyping import Array, Bool, Float, Int
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cosseg_jax import program
from cosseg_jax.data.composites import VOID, LabelledPicture, mosaic, pasted
from cosseg_jax.data.groups import category_map
from cosseg_jax.data.images import resize_image
from cosseg_jax.data.prompts import coverage, draw_prompt, region
from cosseg_jax.data.pseudo_masks import (
    Saliency,
    SaliencyNetwork,
    object_and_void,
    pseudo_mask,
)
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError
from cosseg_jax.files import check_writable
from cosseg_jax.models.agnostic_head import AgnosticHead, Marks, save_agnostic_head
from cosseg_jax.models.layers import resize
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.predictor import load
from cosseg_jax.types import Ndarray, flattened

SIDE = 96  # of the masks
GROUP_SIZE, GROUPS = 5, 4  # of a step
MIN_SHARE = 0.01  # of an image that an object covers, to count as shown there
KNOWN_SHARE = 0.15  # of the groups, of categories that the network knows
STRANGERS_SHARE = 0.4  # of the groups, in which one or two images lack the object
PROMPTED_SHARE = 0.3  # of the groups, whose first image carries a prompt
EXCLUDED_SHARE = 0.5  # of the prompts, which also exclude something
MOST_PER_CATEGORY = 100  # images of a known category, beyond which no more are taken for it
DICE_WEIGHT, EARLIER_WEIGHT = 0.5, 0.4  # of the Dice loss, and of the iterations before the last
DICE_SMOOTHING = 50.0  # pixels
LEARNING_RATE, WARMUP = 1e-3, 50
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


class Batch(NamedTuple):
    """The groups of a step."""

    coarse: Float[Ndarray, "B N h w C"]
    fine: Float[Ndarray, "B N h2 w2 D"]
    marks: Marks
    masks: Float[Ndarray, "B N 96 96"]
    valid: Float[Ndarray, "B N 96 96"]


class Groups:
    """Random groups from a pool; the batch of a step depends on the seed and the step alone.

    known: how many categories, the first ones, the network was trained on.
    """

    def __init__(self, pool: Pool, known: int, seed: int):
        self._pool, self._seed = pool, seed
        self._shown = [_shown(labels) for labels in pool.labels]
        members: dict[int, list[int]] = {}
        for index, categories in enumerate(self._shown):
            for category in categories:
                members.setdefault(category, []).append(index)
        self._members = {c: found for c, found in members.items() if len(found) >= GROUP_SIZE}
        self._known = sorted(c for c in self._members if c <= known)
        self._others = sorted(c for c in self._members if c > known)
        if not self._known or not self._others:
            raise UserError(
                f"{len(self._known)} known and {len(self._others)} other categories have "
                f"{GROUP_SIZE} images or more; training needs some of both"
            )

    def batch(self, step: int) -> Batch:
        """The groups of a step."""
        groups = [self._group(np.random.default_rng([self._seed, step, n])) for n in range(GROUPS)]
        return jax.tree.map(lambda *arrays: np.stack(arrays), *groups)

    def _group(self, rng: np.random.Generator) -> Batch:
        category = self._category(rng)
        chosen = rng.choice(self._members[category], GROUP_SIZE, replace=False)
        shared = frozenset.intersection(*(self._shown[i] for i in chosen))
        if rng.random() < STRANGERS_SHARE:
            chosen = self._with_strangers(chosen, shared, rng)
        labels, wanted = self._pool.labels[chosen], sorted(shared)
        masks, valid = np.isin(labels, wanted), labels != VOID
        maps = [self._pool.coarse[chosen], self._pool.fine[chosen]]
        for place in np.flatnonzero(rng.random(GROUP_SIZE) < 0.5):
            masks[place], valid[place] = masks[place, :, ::-1], valid[place, :, ::-1]
            for each in maps:
                each[place] = each[place, :, ::-1]
        marks = _drawn_marks(masks, valid, maps[0].shape[1:3], rng)
        coarse, fine = maps
        return Batch(coarse, fine, marks, masks.astype(np.float32), valid.astype(np.float32))

    def _category(self, rng: np.random.Generator) -> int:
        """A category: known ones by the root of their number of images, others evenly."""
        if rng.random() >= KNOWN_SHARE:
            return int(rng.choice(self._others))
        roots = np.sqrt([len(self._members[c]) for c in self._known])
        return int(rng.choice(self._known, p=roots / roots.sum()))

    def _with_strangers(
        self, chosen: Int[Ndarray, " N"], shared: frozenset[int], rng: np.random.Generator
    ) -> Int[Ndarray, " N"]:
        """The same with one or two images, the last ones, replaced by some without the object."""
        count, chosen = int(rng.integers(1, 3)), chosen.copy()
        order = rng.permutation(len(self._shown))
        strangers = (i for i in order if not self._shown[i] & shared)
        for place, index in zip(range(1, count + 1), strangers, strict=False):
            chosen[-place] = index
        return chosen


def fit(
    pool: Pool, known: int, *, steps: int, seed: int = 0, log_every: int = 100
) -> dict[str, Any]:
    """The variables of a head trained on a pool; see `Groups` for `known`."""
    groups, head = Groups(pool, known, seed), AgnosticHead()
    first = groups.batch(0)
    variables: Any = head.init(jax.random.key(seed), first.coarse[:1, :1], first.fine[:1, :1])
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, WARMUP, max(steps, WARMUP + 1)
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    @jax.jit
    def update(variables: Any, moments: Any, batch: Batch, key: Any) -> Any:
        loss, gradient = jax.value_and_grad(_loss)(variables, head, batch, key)
        changes, moments = optimizer.update(gradient, moments, variables)
        return optax.apply_updates(variables, changes), moments, loss

    moments, losses = optimizer.init(variables), []
    for step in tqdm(range(steps), unit="step"):
        key = jax.random.fold_in(jax.random.key(seed), step)
        variables, moments, loss = update(variables, moments, groups.batch(step), key)
        losses.append(loss)
        if (step + 1) % log_every == 0:
            logging.info("step %d: loss %.4f", step + 1, np.mean(jax.device_get(losses)))
            losses = []
    return jax.device_get(variables)


def _loss(variables: Any, head: AgnosticHead, batch: Batch, key: Array) -> Float[Array, ""]:
    found: Any = head.apply(
        variables, batch.coarse, batch.fine, batch.marks, train=True, rngs={"dropout": key}
    )
    *earlier, last = (_mask_loss(each, batch) for each in found)
    return last + EARLIER_WEIGHT * sum(earlier)


def _mask_loss(logits: Float[Array, "B N h w"], batch: Batch) -> Float[Array, ""]:
    """Cross-entropy and Dice of upsampled logits; void pixels do not count."""
    masks, valid = flattened(jnp.asarray(batch.masks)), flattened(jnp.asarray(batch.valid))
    logits = resize(flattened(logits)[..., None], SIDE, SIDE)[..., 0]  # [M, 96, 96]
    entropy = jnp.mean(optax.sigmoid_binary_cross_entropy(logits, masks) * valid)
    found, masks = nn.sigmoid(logits) * valid, masks * valid
    both, area = jnp.sum(found * masks, (1, 2)), jnp.sum(found + masks, (1, 2))
    dice = 1 - (2 * both + DICE_SMOOTHING) / (area + DICE_SMOOTHING)
    return entropy + DICE_WEIGHT * jnp.mean(dice)


def _drawn_marks(
    masks: Bool[Ndarray, "N H W"],
    valid: Bool[Ndarray, "N H W"],
    grid: tuple[int, ...],
    rng: np.random.Generator,
) -> Marks:
    """The marks of a random prompt in the first image; of none in most groups."""
    marks = Marks(*(np.zeros((len(masks), *grid), np.float32) for _ in range(2)))
    if rng.random() < PROMPTED_SHARE and masks[0].any():
        marks.shown[0] = coverage(region(draw_prompt(masks[0], rng), SIDE, SIDE), *grid)
        beside = valid[0] & ~masks[0]
        if rng.random() < EXCLUDED_SHARE and beside.any():
            rows, columns = np.nonzero(beside)
            place = rng.integers(len(rows))
            excluded = np.zeros((SIDE, SIDE), bool)
            excluded[rows[place], columns[place]] = True
            marks.excluded[0] = coverage(excluded, *grid)
    return marks


def _shown(labels: Int[Ndarray, "H W"]) -> frozenset[int]:
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    return frozenset(numbers[counts > MIN_SHARE * labels.size].tolist())


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
                parts = [drawn(known if rng.random() < 0.3 else objects, rng) for _ in range(4)]
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
            parts.append(Pool(*network.feature_maps(images), np.stack(labels)))
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


def _batches(pictures: Iterator[LabelledPicture], size: int) -> Iterator[list[LabelledPicture]]:
    batch: list[LabelledPicture] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="voc", choices=list(SOURCES), help="with masks")
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument("--objects", required=True, help="folder of photographs, by category")
    parser.add_argument("--saliency_onnx", required=True, help="u2netp.onnx or the like")
    parser.add_argument("--checkpoint", help="an exported network; default: the one we ship")
    parser.add_argument("--composites", type=int, default=0, help="default: none")
    parser.add_argument("--steps", type=int, default=400, help="default: 400")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache_dir", type=Path, required=True, help="for the network's maps")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    parser.add_argument("--force", action="store_true", help="overwrite --out")
    options = parser.parse_args()
    logging.set_verbosity(logging.INFO)
    check_writable(options.out, force=options.force)
    source = load_source(options.dataset, "train", options.data_dir)
    photographs = load_source("folder", "test", options.objects)
    network, known = load(options.checkpoint).network, len(source.categories)
    with_masks = known_pictures(source)
    pseudo = object_pictures(photographs, SaliencyNetwork(options.saliency_onnx), known)
    keys = [
        (network.digest, network.image_size, each.name, tuple(each.names))
        for each in (source, photographs)
    ]
    pools = [
        encoded(with_masks, network, cache_folder(options.cache_dir, "known", keys[0])),
        encoded(pseudo, network, cache_folder(options.cache_dir, "objects", keys[1])),
    ]
    if options.composites:
        count, seed = options.composites, options.seed

        def composites() -> Iterator[LabelledPicture]:
            parts = list(with_masks()), list(pseudo())
            return composite_pictures(parts[0], parts[1], count, network.image_size, seed)()

        folder = cache_folder(options.cache_dir, "composites", keys, count, seed)
        pools.append(encoded(composites, network, folder))
    pool = pools[0].joined(*pools[1:])
    save_agnostic_head(options.out, fit(pool, known, steps=options.steps, seed=options.seed))


if __name__ == "__main__":
    sys.exit(program.exit_code_of(main))
