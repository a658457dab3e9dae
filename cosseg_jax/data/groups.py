"""Groups for training: a category, then N different images that contain it (section 4.1).

The union rule: a group's label is every category that all N images share, and the mask of each
image is the union of its masks of those categories.

Most images of a training set show one object, so that a network may learn to segment whatever is
salient and ignore the group. `SamplingOptions` adds groups, beyond the paper, in which only the
group tells which object is meant.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, UInt16

from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.types import Example, Ndarray


class TrainingGroup(NamedTuple):
    """N different images of one category.

    category: the category that was drawn; the images may share others as well.
    indices: the images' indices in their source.
    distractors: how many of them, the last ones, lack every category that the others share.
    """

    category: int
    indices: tuple[int, ...]
    distractors: int = 0


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How training groups are drawn. The defaults are the paper's; each share is from 0 to 1.

    category: "uniform" draws all categories with equal probability, "by_size" in proportion to
        their number of images, "by_root" to its square root, so that the images of small
        categories are not repeated too often.
    multi_category: share of the groups that are drawn from images of several categories, where the
        category has N of these.
    contrast: share of the groups at odd positions that contain an image of the group before them,
        for another of its categories: one image with two masks in one batch.
    distractors: share of the groups in which one or more images, always less than half, lack the
        object.
    prompted: share of the groups whose first image carries a prompt: a point, a box or a mask.

    Raises UserError for an unknown category sampling and for a share that is not from 0 to 1.
    """

    category: str = "uniform"
    multi_category: float = 0.0
    contrast: float = 0.0
    distractors: float = 0.0
    prompted: float = 0.0

    def __post_init__(self) -> None:
        check_choice("sampling.category", self.category, tuple(SAMPLINGS))
        for name in ("multi_category", "contrast", "distractors", "prompted"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UserError(f"sampling.{name} is {share}; it is a share, from 0 to 1")


SAMPLINGS = {
    "uniform": lambda sizes: np.ones(len(sizes)),
    "by_size": lambda sizes: np.asarray(sizes, dtype=np.float64),
    "by_root": np.sqrt,
}


class GroupSampler:
    """An endless sequence of groups; each depends only on the seed and its position.

    Categories with fewer than `group_size` images cannot form a group of different ones: they are
    left out, listed in `excluded` and named in the log.

    Args:
      source: the images.
      seed: any integer from 0.
      group_size: N, from 1.
      options: which groups are drawn.

    Raises UserError for a bad argument, or where no category has enough images.
    """

    def __init__(
        self,
        source: Source,
        *,
        seed: int,
        group_size: int,
        options: SamplingOptions = SamplingOptions(),
    ) -> None:
        if group_size < 1:
            raise UserError(f"group_size is {group_size}; a group has at least one image")
        if seed < 0:
            raise UserError(f"seed is {seed}; expected an integer from 0")
        self.seed = seed
        self.group_size = group_size
        sizes = [len(members) for members in source.members]
        self.eligible = tuple(c for c, size in enumerate(sizes) if size >= group_size)
        self.excluded = tuple(c for c, size in enumerate(sizes) if size < group_size)
        self._options = options
        self._members = source.members
        self._categories_of = _categories_of(source)
        self._multi_category = [
            np.asarray([i for i in members if len(self._categories_of[i]) > 1], dtype=np.int64)
            for members in source.members
        ]
        _report_excluded(source, self.excluded, group_size)
        weights = SAMPLINGS[options.category]([sizes[c] for c in self.eligible])
        self.probabilities = weights / weights.sum()

    def __getitem__(self, index: int) -> TrainingGroup:
        """The group at a position of the sequence."""
        rng = np.random.default_rng([self.seed, index])
        group = None
        if index % 2 and _happens(rng, self._options.contrast):
            group = self._contrasting(self[index - 1], rng)
        if group is None:
            group = self._plain(rng)
        if _happens(rng, self._options.distractors):
            group = self._with_distractors(group, rng)
        return group

    def _plain(self, rng: np.random.Generator) -> TrainingGroup:
        category = self.eligible[int(rng.choice(len(self.eligible), p=self.probabilities))]
        pool = self._members[category]
        multi_category = self._multi_category[category]
        if len(multi_category) >= self.group_size and _happens(rng, self._options.multi_category):
            pool = multi_category
        chosen = rng.choice(pool, size=self.group_size, replace=False)
        return TrainingGroup(category, tuple(int(i) for i in chosen))

    def _contrasting(self, before: TrainingGroup, rng: np.random.Generator) -> TrainingGroup | None:
        """A group of another category with one of the images of `before`, if there is any."""
        indices = before.indices[: len(before.indices) - before.distractors]
        shared = self._shared(indices)
        choices = [
            (index, category)
            for index in indices
            for category in sorted(self._categories_of[index] - shared)
            if category in self.eligible
        ]
        if not choices:
            return None
        index, category = choices[int(rng.integers(len(choices)))]
        others = self._members[category][self._members[category] != index]
        chosen = rng.choice(others, size=self.group_size - 1, replace=False)
        return TrainingGroup(category, (index, *(int(i) for i in chosen)))

    def _with_distractors(self, group: TrainingGroup, rng: np.random.Generator) -> TrainingGroup:
        """Replaces the last images by ones without the object, if there are enough of them."""
        most = (self.group_size - 1) // 2
        if not most:
            return group
        count = int(rng.integers(1, most + 1))
        kept = group.indices[:-count]
        lacks_object = np.ones(len(self._categories_of), bool)
        for category in self._shared(kept):
            lacks_object[self._members[category]] = False
        candidates = np.flatnonzero(lacks_object)
        if len(candidates) < count:
            return group
        chosen = rng.choice(candidates, size=count, replace=False)
        return TrainingGroup(group.category, (*kept, *(int(i) for i in chosen)), count)

    def _shared(self, indices: Sequence[int]) -> frozenset[int]:
        return frozenset.intersection(*(self._categories_of[index] for index in indices))


def shared_categories(examples: Sequence[Example]) -> tuple[int, ...]:
    """The categories that occur in every one of the images, ascending."""
    first, *others = (set(example.categories.tolist()) for example in examples)
    return tuple(sorted(first.intersection(*others)))


def union_mask(example: Example, categories: Sequence[int]) -> Bool[Ndarray, "H W"]:
    """The union of an image's masks of the given categories; empty where it has none."""
    return np.any(example.masks[np.isin(example.categories, categories)], axis=0)


def category_map(example: Example) -> UInt16[Ndarray, "H W"]:
    """1 + the index of the category at each pixel, 0 for none; where masks overlap, the last."""
    found = np.zeros(example.void.shape, np.uint16)
    for category, mask in zip(example.categories, example.masks, strict=True):
        found[mask] = category + 1
    return found


def multi_hot(categories: Sequence[int], num_categories: int) -> Float[Ndarray, " L"]:
    """1 at each of the categories, 0 elsewhere."""
    label = np.zeros(num_categories, dtype=np.float32)
    label[list(categories)] = 1.0
    return label


def _happens(rng: np.random.Generator, share: float) -> bool:
    """True in `share` of the cases; nothing is drawn for a share of 0."""
    return share > 0 and rng.random() < share


def _categories_of(source: Source) -> list[frozenset[int]]:
    """The categories of each image, known without decoding it."""
    found: list[set[int]] = [set() for _ in range(len(source))]
    for category, members in enumerate(source.members):
        for index in members:
            found[index].add(category)
    return [frozenset(categories) for categories in found]


def _report_excluded(source: Source, excluded: Sequence[int], group_size: int) -> None:
    if not excluded:
        return
    sizes = ", ".join(f"{source.categories[c]} ({len(source.members[c])})" for c in excluded)
    if len(excluded) == len(source.members):
        raise UserError(
            f"no category of {source.name!r} has the {group_size} different images of a group; "
            f"found {sizes}. Use a smaller group_size or more data"
        )
    logging.warning(
        "%s: left out, because they have fewer than %d images: %s", source.name, group_size, sizes
    )
