"""Trains the head for unseen categories: python -m cosseg_jax.train.agnostic_head --help

The head (`models.agnostic_head`) is to mark whatever a group shares. Its images (`agnostic_pool`)
are those with masks of known categories, photographs of single objects of a hundred others, and
composites of both. The network stays as it is. Its maps of all images are computed once and kept in
--cache_dir. docs/unknown_categories.md has the command and its results.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jaxtyping import Array, Bool, Float, Int
from tqdm import tqdm

from cosseg_jax import program
from cosseg_jax.data.composites import VOID, LabelledPicture
from cosseg_jax.data.prompts import coverage, draw_prompt, region
from cosseg_jax.data.pseudo_masks import SaliencyNetwork
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.errors import UserError
from cosseg_jax.files import check_writable
from cosseg_jax.models.agnostic_head import AgnosticHead, Marks, save_agnostic_head
from cosseg_jax.models.layers import resize
from cosseg_jax.train.agnostic_pool import (
    SIDE,
    Pool,
    cache_folder,
    composite_pictures,
    encoded,
    known_cache,
    known_pictures,
    object_pictures,
    plain_network,
    source_key,
)
from cosseg_jax.types import Ndarray, flattened

GROUP_SIZE, GROUPS = 5, 4  # of a step
MIN_SHARE = 0.01  # of an image that an object covers, to count as shown there
KNOWN_SHARE = 0.15  # of the groups, of categories that the network knows
STRANGERS_SHARE = 0.4  # of the groups, in which one or two images lack the object
PROMPTED_SHARE = 0.3  # of the groups, whose first image carries a prompt
EXCLUDED_SHARE = 0.5  # of the prompts, which also exclude something
DICE_WEIGHT, EARLIER_WEIGHT = 0.5, 0.4  # of the Dice loss, and of the iterations before the last
DICE_SMOOTHING = 50.0  # pixels
LEARNING_RATE, WARMUP = 1e-3, 50


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
    network, known = plain_network(options.checkpoint), len(source.categories)
    with_masks = known_pictures(source)
    pseudo = object_pictures(photographs, SaliencyNetwork(options.saliency_onnx), known)
    keys = [source_key(network, each) for each in (source, photographs)]
    pools = [
        encoded(with_masks, network, known_cache(options.cache_dir, network, source)),
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
