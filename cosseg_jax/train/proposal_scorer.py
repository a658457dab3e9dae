"""Fits the scorers of object proposals: python -m cosseg_jax.train.proposal_scorer --help

The scorers are to rank proposals of categories that they have never seen. Their features name no
category (`models.proposal_features`), so that a few hundred images with masks are enough: groups of
one to eight images of a category, in some of them images without the object. The second scorer is
fitted on what the first one finds. The images are not to be those that trained the network, whose
maps there are clearer than anywhere else.

With --folds K it also measures: each of K parts of the categories is left out once, with all images
that show one of them, and the mean J of groups of five of these categories is printed.
"""

import argparse
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float
from tqdm import tqdm

from cosseg_jax import program
from cosseg_jax.data.eval_groups import fives
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.resizing import resize_image, resized_mask
from cosseg_jax.data.source import Source
from cosseg_jax.models.proposal_features import (
    SIDE,
    DescribedImage,
    agreement_features,
    described_group,
    group_features,
)
from cosseg_jax.models.proposal_scorer import (
    ProposalScorer,
    Scorers,
    save_scorers,
    score_group,
    scores,
)
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.open_network import Propose, Seen, open_map, see
from cosseg_jax.predict.predictor import load
from cosseg_jax.predict.proposals import Proposer
from cosseg_jax.types import Ndarray

SIZES = (1, 2, 3, 4, 5, 5, 5, 5, 6, 8)  # of groups, drawn evenly
STRANGERS = (0, 0, 0, 1, 2)  # images without the object in groups of three or more
MIN_SHARE = 0.01  # of an image that an object covers, to count as shown there
EPOCHS = 30
BATCH = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 3e-3


class Truth(NamedTuple):
    """The masks of an image at the proposals' size: of each category that it shows, and void."""

    masks: dict[int, Bool[Ndarray, "128 128"]]
    void: Bool[Ndarray, "128 128"]


class Group(NamedTuple):
    """A group whose proposals are described, with what the scorers are to say.

    features: of the first scorer; [P, F] of each image.
    targets: precision and IoU of each proposal; [P, 2] of each image.
    """

    category: int
    images: list[int]
    described: list[DescribedImage]
    features: list[np.ndarray]
    targets: list[np.ndarray]


class Material:
    """The images of a source with their proposals, the network's maps and their true masks."""

    def __init__(
        self,
        source: Source,
        network: ChunkedNetwork,
        propose: Propose,
        most: int | None = None,
    ):
        self.truths: dict[int, Truth] = {}
        self._seen: dict[int, Seen] = {}
        for index in tqdm(range(len(source))[:most], unit="image", desc="proposals"):
            example = source[index]
            small = resize_image(example.image, network.image_size)
            self._seen[index] = see([EncodedImage(lambda small=small: small)], network, propose)
            masks = dict(zip(example.categories.tolist(), example.masks, strict=True))
            self.truths[index] = _truth(masks, example.void)

    def group(self, category: int, images: Sequence[int]) -> Group:
        """A group of the images at these places, whose object is of this category."""
        proposals, coarse, fine = zip(*(self._seen[index] for index in images), strict=True)
        described = described_group(
            [each for [each] in proposals], np.concatenate(coarse), np.concatenate(fine)
        )
        targets = [
            _targets(image, self.truths[index], category)
            for image, index in zip(described, images, strict=True)
        ]
        return Group(category, list(images), described, group_features(described), targets)

    def drawn(self, categories: Iterable[int], count: int, seed: int) -> list[Group]:
        """Random groups of these categories; no image shows any other category that has masks."""
        allowed, rng = set(categories), random.Random(seed)
        shown = {index: set(truth.masks) for index, truth in self.truths.items()}
        images = [index for index, found in shown.items() if found <= allowed]
        by_category = {c: [i for i in images if c in shown[i]] for c in sorted(allowed)}
        usable = [category for category, found in by_category.items() if len(found) >= 2]
        found = []
        for _ in tqdm(range(count), unit="group", desc="groups"):
            category = rng.choice(usable)
            own = by_category[category]
            chosen = rng.sample(own, min(rng.choice(SIZES), len(own)))
            others = [index for index in images if category not in shown[index]]
            if len(chosen) >= 3:
                chosen += rng.sample(others, min(rng.choice(STRANGERS), len(others)))
            found.append(self.group(category, chosen))
        return found


def fit(groups: Sequence[Group], *, epochs: int = EPOCHS, seed: int = 0) -> Scorers:
    """Fits both scorers on groups."""
    targets = np.concatenate([each for group in groups for each in group.targets])
    first = _fitted([each for group in groups for each in group.features], targets, epochs, seed)
    again = []
    for group in groups:
        found = scores(first, group.features)
        again += agreement_features(group.described, group.features, found)
    return Scorers(first, _fitted(again, targets, epochs, seed + 1))


def mean_J(groups: Sequence[Group], scorers: Scorers, material: Material) -> float:
    """The mean IoU of the masks, in percent, over all images that show their group's object."""
    found = []
    for group in groups:
        for image, index, each in zip(
            group.described, group.images, score_group(scorers, group.described), strict=True
        ):
            truth = material.truths[index]
            wanted = truth.masks.get(group.category)
            if wanted is not None:
                mask = open_map(image.proposals, each, SIDE) > 0.5
                union = (mask | wanted) & ~truth.void
                found.append((mask & wanted & ~truth.void).sum() / max(union.sum(), 1))
    return 100 * float(np.mean(found))


def measure(material: Material, source: Source, folds: int, count: int) -> list[float]:
    """J of groups of categories that the scorers have not seen, and alone, for each fold."""
    categories = range(len(source.categories))
    found = []
    for fold in range(folds):
        left_out = [category for category in categories if category % folds == fold]
        scorers = fit(material.drawn(set(categories) - set(left_out), count, fold))
        groups = [
            material.group(each.category, each.indices)
            for each in fives(source)
            if each.category in left_out and set(each.indices) <= material.truths.keys()
        ]
        alone = [material.group(g.category, [index]) for g in groups for index in g.images]
        found.append(mean_J(groups, scorers, material))
        print(
            f"left out {len(left_out)} categories: J {found[-1]:.1f} in {len(groups)} groups, "
            f"{mean_J(alone, scorers, material):.1f} alone"
        )
    return found


def _truth(category_masks: Mapping[int, Bool[Ndarray, "H W"]], void: Bool[Ndarray, "H W"]) -> Truth:
    large = {c: mask for c, mask in category_masks.items() if mask.mean() > MIN_SHARE}
    size = (SIDE, SIDE)
    return Truth({c: resized_mask(m, size) for c, m in large.items()}, resized_mask(void, size))


def _targets(image: DescribedImage, truth: Truth, category: int) -> Float[Ndarray, "P 2"]:
    """Precision and IoU of each proposal."""
    wanted = truth.masks.get(category, np.zeros((SIDE, SIDE), bool)) & ~truth.void
    masks = (image.proposals.maps >= 128) & ~truth.void
    both = (masks & wanted).sum(axis=(1, 2))
    area = masks.sum(axis=(1, 2))
    union = area + wanted.sum() - both
    return np.column_stack([both / np.maximum(area, 1), both / np.maximum(union, 1)])


def _fitted(
    features: Sequence[Float[Ndarray, "_ F"]],
    targets: Float[Ndarray, "n 2"],
    epochs: int,
    seed: int,
) -> Any:
    """The variables of a scorer that was fitted by cross-entropy."""
    x, y = jnp.asarray(np.concatenate(features)), jnp.asarray(targets, jnp.float32)  # [n, F]
    scorer, key = ProposalScorer(), jax.random.key(seed)
    variables: Any = scorer.init(key, x[:1])
    statistics = {"mean": x.mean(axis=0), "deviation": x.std(axis=0) + 1e-4}
    steps = epochs * len(x) // BATCH
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(LEARNING_RATE, steps), weight_decay=WEIGHT_DECAY
    )

    def loss(params: Any, rows: Any, key: Any) -> Any:
        given = {"params": params, "statistics": statistics}
        found: Any = scorer.apply(given, x[rows], train=True, rngs={"dropout": key})
        found = jnp.clip(found, 1e-6, 1 - 1e-6)
        wanted = y[rows][None]  # [1, P, 2]
        return -jnp.mean(wanted * jnp.log(found) + (1 - wanted) * jnp.log1p(-found))

    def update(number: Any, state: Any) -> Any:
        params, moments = state
        drawing, dropping = jax.random.split(jax.random.fold_in(key, number))
        rows = jax.random.randint(drawing, (BATCH,), 0, len(x))
        changes, moments = optimizer.update(jax.grad(loss)(params, rows, dropping), moments, params)
        return optax.apply_updates(params, changes), moments

    initial = variables["params"], optimizer.init(variables["params"])
    params, _ = jax.jit(lambda state: jax.lax.fori_loop(0, steps, update, state))(initial)
    return {"params": params, "statistics": statistics}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dataset", default="voc", choices=list(SOURCES))
    parser.add_argument("--split", default="val")
    parser.add_argument("--data_dir", help="default: $COSSEG_DATA_DIR")
    parser.add_argument("--checkpoint", help="an exported network; default: the one we ship")
    parser.add_argument("--sam_weights", help="MobileSAM's weights; default: download")
    parser.add_argument("--groups", type=int, default=400, help="to fit on (default: 400)")
    parser.add_argument("--images", type=int, help="use the first ones only")
    parser.add_argument("--folds", type=int, help="also measure on categories left out")
    parser.add_argument("--out", type=Path, help="the file to write, .npz")
    options = parser.parse_args()
    if options.out is None and options.folds is None:
        parser.error("give --out FILE to fit the scorers, --folds K to measure them, or both")
    source = load_source(options.dataset, options.split, options.data_dir)
    network = load(options.checkpoint).network
    material = Material(source, network, Proposer(options.sam_weights), options.images)
    if options.folds:
        found = measure(material, source, options.folds, options.groups)
        print(f"mean J {np.mean(found):.1f}")
    if options.out:
        groups = material.drawn(range(len(source.categories)), options.groups, 0)
        save_scorers(options.out, fit(groups))


if __name__ == "__main__":
    sys.exit(program.exit_code_of(main))
