"""Few-shot segmentation: PASCAL-5i, COCO-20i and FSS-1000, with mIoU and FB-IoU.

An episode is a query image with k support images of one category and their true masks. The network
segments the query; the categories of a fold are those that training must not have shown.

    PASCAL-5i  VOC's validation images; fold i tests categories 5i to 5i + 4 (Shaban et al. 2017)
    COCO-20i   val2017; fold i tests categories i, i + 4, i + 8 ... (Nguyen and Todorovic 2019)
    FSS-1000   one fold of all categories (Li et al. 2020)

As in public evaluations (HSNet, Min et al. 2021), PASCAL's queries are the fold's (image, category)
pairs in turn, and COCO's are drawn by a random category; supports are drawn with replacement among
the category's other images. Masks are compared at the query's own size, without void pixels.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cosseg_jax.data.builders.coco.val2017 import load_coco_val
from cosseg_jax.data.eval_groups import sorted_members
from cosseg_jax.data.registry import load_source
from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.types import Ndarray

FOLDS = 4
MIN_PIXELS = 2048  # of a category in an image; smaller ones are not used
EPISODES = 1000


class FewShotSet(NamedTuple):
    """A benchmark. folds: how many; in_turn: whether queries are taken in turn, else drawn."""

    folds: int
    in_turn: bool
    interleaved: bool = False


SETS = {
    "pascal5i": FewShotSet(FOLDS, in_turn=True),
    "coco20i": FewShotSet(FOLDS, in_turn=False, interleaved=True),
    "fss1000": FewShotSet(1, in_turn=False),
}


class Episode(NamedTuple):
    """A category, and the indices of the query and of the supports in the source."""

    category: int
    query: int
    supports: tuple[int, ...]


class FewShotScores(NamedTuple):
    """The figures of a fold, in percent.

    mean_iou: mIoU, the mean over categories of the object's pooled IoU.
    fb_iou: FB-IoU, the mean of the IoU of all objects and that of all backgrounds, pooled.
    by_category: the pooled IoU of each category that has an episode.
    """

    mean_iou: float
    fb_iou: float
    by_category: dict[str, float]


def load_set(name: str, data_dir: str | Path) -> Source:
    """The source of a benchmark's images; raises as `load_source` and `load_coco_val` do."""
    check_choice("benchmark", name, SETS)
    if name == "coco20i":
        return load_coco_val(Path(data_dir).expanduser())
    if name == "fss1000":
        return load_source("fss1000", "test", data_dir)
    return load_source("voc", "val", data_dir)


def fold_categories(name: str, fold: int, count: int) -> list[int]:
    """The categories of a fold, of `count`. Raises UserError for a fold that there is not."""
    found = SETS[name]
    if not 0 <= fold < found.folds:
        raise UserError(f"fold is {fold}; {name} has folds 0 to {found.folds - 1}")
    if found.interleaved:
        return list(range(fold, count, found.folds))
    share = count // found.folds
    return list(range(fold * share, (fold + 1) * share))


def images_by_category(
    source: Source, categories: Sequence[int], min_pixels: int = MIN_PIXELS
) -> dict[int, list[int]]:
    """The images of each category that show at least so many pixels of it, by name."""
    wanted = {category: set(source.members[category].tolist()) for category in categories}
    large: dict[int, set[int]] = {category: set() for category in categories}
    for index in sorted(set(chain.from_iterable(wanted.values()))):
        example = source[index]
        for category, mask in zip(example.categories.tolist(), example.masks, strict=True):
            if category in large and mask.sum() >= min_pixels:
                large[category].add(index)
    return {
        category: [n for n in sorted_members(source, category) if n in large[category]]
        for category in categories
    }


def episodes(
    name: str, images: dict[int, list[int]], *, shots: int, count: int, seed: int
) -> list[Episode]:
    """`count` episodes of a fold with `shots` supports each; the same for the same seed.

    images: of each category, as `images_by_category` gives them.
    Raises UserError where shots or count is below 1, or no category has two images.
    """
    if shots < 1 or count < 1:
        raise UserError(f"shots is {shots} and episodes {count}; both take 1 or more")
    usable = {category: found for category, found in images.items() if len(found) > 1}
    if not usable:
        raise UserError("no category of the fold has two images that are large enough")
    rng = np.random.default_rng(seed)
    queries = _in_turn(usable, rng) if SETS[name].in_turn else _drawn(usable, rng)
    return [
        Episode(category, query, tuple(_supports(usable[category], query, shots, rng)))
        for category, query in islice(queries, count)
    ]


def _in_turn(images: dict[int, list[int]], rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """All pairs of a category and an image, in random order, again and again."""
    pairs = [(category, index) for category, found in images.items() for index in found]
    return cycle([pairs[place] for place in rng.permutation(len(pairs))])


def _drawn(images: dict[int, list[int]], rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """A random category and a random image of it, without end."""
    categories = list(images)
    while True:
        category = categories[rng.integers(len(categories))]
        yield category, images[category][rng.integers(len(images[category]))]


def _supports(images: Sequence[int], query: int, shots: int, rng: np.random.Generator) -> list[int]:
    others = [index for index in images if index != query]
    return [others[place] for place in rng.integers(len(others), size=shots)]


class Tally:
    """Intersections and unions of object and background, summed by category."""

    def __init__(self, categories: int):
        self.intersection = np.zeros((categories, 2), np.int64)  # background, object
        self.union = np.zeros((categories, 2), np.int64)

    def add(
        self,
        category: int,
        mask: Bool[Ndarray, "H W"],
        truth: Bool[Ndarray, "H W"],
        void: Bool[Ndarray, "H W"],
    ) -> None:
        """Adds a query's mask; void pixels do not count."""
        for place, (found, true) in enumerate(((~mask, ~truth), (mask, truth))):
            self.intersection[category, place] += (found & true & ~void).sum()
            self.union[category, place] += ((found | true) & ~void).sum()

    def scores(self, names: Sequence[str]) -> FewShotScores:
        """The figures of what was added, at least one mask."""
        counted = np.flatnonzero(self.union.sum(axis=1))
        of_object = _percent(self.intersection[counted, 1], self.union[counted, 1])
        pooled = _percent(self.intersection.sum(axis=0), self.union.sum(axis=0))
        by_category = {names[int(c)]: float(x) for c, x in zip(counted, of_object, strict=True)}
        return FewShotScores(float(of_object.mean()), float(pooled.mean()), by_category)


def _percent(part: Ndarray, whole: Ndarray) -> Float[Ndarray, " _"]:
    return 100 * part / np.maximum(whole, 1)
