"""Groups for training: a category, then N different photographs that contain it (section 4.1).

The union rule: a group's label is every category that all N photographs share, and the mask of
each photograph is the union of its masks of those categories.

Most photographs of a training set show one object, so that a network may learn to cut out whatever
is salient and never look at the group. `SamplingOptions` offers groups, beyond the paper, in which
only the group tells what is meant.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.source import Source
from cosseg_jax.errors import check_choice
from cosseg_jax.types import Example, Ndarray


class Group(NamedTuple):
    """N different photographs of one category.

    category: the category that was drawn; the photographs may share others beside it.
    indices: where the photographs lie in their source.
    distractors: how many of them, the last ones, lack every category that the others share.
    """

    category: int
    indices: tuple[int, ...]
    distractors: int = 0


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How training groups are drawn. The defaults are the paper's; each share is of 0..1.

    category: "uniform" draws all categories alike, "by_size" by their number of photographs,
        "by_root" by its square root, so that few photographs are not seen again and again.
    multi_category: share of the groups whose photographs show further categories, as far as there are N.
    contrast: share of the groups at odd positions that take up a photograph of the group before,
        for another of its categories: one photograph, two masks, in one batch.
    distractors: share of the groups in which one or more photographs, always less than half, lack
        the object.
    prompted: share of the groups in whose first photograph the object is marked, by a point, a box
        or its mask.
    smallest: from 1, each step's groups have a size of their own, from this to `group_size`; 0
        leaves all at `group_size`.
    """

    category: str = "uniform"
    multi_category: float = 0.0
    contrast: float = 0.0
    distractors: float = 0.0
    prompted: float = 0.0
    smallest: int = 0

    def __post_init__(self) -> None:
        check_choice("sampling.category", self.category, tuple(SAMPLINGS))
        if self.smallest < 0:
            raise ValueError(f"sampling.smallest is {self.smallest}; it is a size, or 0")
        for name in ("multi_category", "contrast", "distractors", "prompted"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"sampling.{name} is {share}; it is a share, from 0 to 1")

    def mean_size(self, group_size: int) -> float:
        """How many photographs a group has on average."""
        return ((self.smallest or group_size) + group_size) / 2


SAMPLINGS = {
    "uniform": lambda sizes: np.ones(len(sizes)),
    "by_size": lambda sizes: np.asarray(sizes, dtype=np.float64),
    "by_root": np.sqrt,
}


class GroupSampler:
    """An endless sequence of groups; each is a function of the seed and its position alone.

    Categories with fewer than `group_size` photographs cannot make a group of different ones: they
    are left out, listed in `excluded`, and a line of the log says so.

    Args:
      source: the photographs.
      seed: any integer from 0.
      group_size: N, from 1; the largest where `options.smallest` lets it vary.
      options: which groups are drawn.

    Raises ValueError for a bad argument, or where no category has enough photographs.
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
            raise ValueError(f"group_size is {group_size}; a group has at least one photograph")
        if options.smallest > group_size:
            raise ValueError(
                f"sampling.smallest is {options.smallest}, but group_size, the largest, is "
                f"{group_size}"
            )
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected an integer from 0")
        self.seed = seed
        self.group_size = group_size
        sizes = [len(members) for members in source.members]
        self.eligible = tuple(c for c, size in enumerate(sizes) if size >= group_size)
        self.excluded = tuple(c for c, size in enumerate(sizes) if size < group_size)
        self._options = options
        self._members = source.members
        self._categories_of = _categories_of(source)
        self._several = [
            np.asarray([i for i in members if len(self._categories_of[i]) > 1], dtype=np.int64)
            for members in source.members
        ]
        _report_excluded(source, self.excluded, group_size)
        weights = SAMPLINGS[options.category]([sizes[c] for c in self.eligible])
        self.probabilities = weights / weights.sum()

    def __getitem__(self, index: int) -> Group:
        """The group at a place of the sequence, of `group_size` photographs."""
        return self.group(index, self.group_size)

    def size_at(self, step: int) -> int:
        """How many photographs each group of a step has."""
        if not self._options.smallest:
            return self.group_size
        rng = np.random.default_rng([self.seed, step, 4])
        return int(rng.integers(self._options.smallest, self.group_size + 1))

    def group(self, index: int, size: int) -> Group:
        """The group at a place of the sequence, of `size` photographs, at most `group_size`."""
        rng = np.random.default_rng([self.seed, index])
        group = None
        if index % 2 and _happens(rng, self._options.contrast):
            group = self._contrasting(self.group(index - 1, size), rng)
        if group is None:
            group = self._plain(size, rng)
        if _happens(rng, self._options.distractors):
            group = self._with_distractors(group, rng)
        return group

    def _plain(self, size: int, rng: np.random.Generator) -> Group:
        category = self.eligible[int(rng.choice(len(self.eligible), p=self.probabilities))]
        pool = self._members[category]
        several = self._several[category]
        if len(several) >= size and _happens(rng, self._options.multi_category):
            pool = several
        chosen = rng.choice(pool, size=size, replace=False)
        return Group(category, tuple(int(i) for i in chosen))

    def _contrasting(self, before: Group, rng: np.random.Generator) -> Group | None:
        """A group of another category with one of the photographs of `before`, if there is any."""
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
        chosen = rng.choice(others, size=len(before.indices) - 1, replace=False)
        return Group(category, (index, *(int(i) for i in chosen)))

    def _with_distractors(self, group: Group, rng: np.random.Generator) -> Group:
        """Puts photographs without the object in the place of the last ones, if there are any."""
        most = (len(group.indices) - 1) // 2
        if not most:
            return group
        count = int(rng.integers(1, most + 1))
        kept = group.indices[:-count]
        shared = self._shared(kept)
        foreign: list[int] = []
        for index in rng.permutation(len(self._categories_of)):
            if len(foreign) == count:
                return Group(group.category, (*kept, *foreign), count)
            if not self._categories_of[index] & shared:
                foreign.append(int(index))
        return group

    def _shared(self, indices: Sequence[int]) -> frozenset[int]:
        return frozenset.intersection(*(self._categories_of[index] for index in indices))


def shared_categories(examples: Sequence[Example]) -> tuple[int, ...]:
    """The categories that occur in every one of the photographs, ascending."""
    first, *others = (set(example.categories.tolist()) for example in examples)
    return tuple(sorted(first.intersection(*others)))


def union_mask(example: Example, categories: Sequence[int]) -> Bool[Ndarray, "H W"]:
    """The union of a photograph's masks of the given categories; empty where it has none."""
    return np.any(example.masks[np.isin(example.categories, categories)], axis=0)


def category_map(example: Example) -> UInt8[Ndarray, "H W"]:
    """1 + the index of the category at each pixel, 0 for none; of masks that overlap, the last."""
    found = np.zeros(example.void.shape, np.uint8)
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
    """The categories of each photograph, known without decoding it."""
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
        raise ValueError(
            f"no category of {source.name!r} has the {group_size} different photographs of a "
            f"group; found {sizes}. Use a smaller group_size or more data"
        )
    logging.warning("%s: left out, for want of %d photographs: %s", source.name, group_size, sizes)
