"""Groups for training: a category, then N different photographs that contain it (section 4.1).

The union rule: a group's label is every category that all N photographs share, and the mask of
each photograph is the union of its masks of those categories.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Bool, Float, UInt8

from cosseg_jax.data.source import Source
from cosseg_jax.types import Example, Ndarray


class Group(NamedTuple):
    """N different photographs of one category.

    category: the category that was drawn; the photographs may share others beside it.
    indices: where the photographs lie in their source.
    """

    category: int
    indices: tuple[int, ...]


SAMPLINGS = {
    "uniform": lambda sizes: np.ones(len(sizes)),
    "by_size": lambda sizes: np.asarray(sizes, dtype=np.float64),
}


class GroupSampler:
    """An endless sequence of groups; each is a function of the seed and its position alone.

    Categories with fewer than `group_size` photographs cannot make a group of different ones: they
    are left out, listed in `excluded`, and a line of the log says so.

    Args:
      source: the photographs.
      seed: any integer from 0.
      group_size: N, from 1.
      sampling: "uniform" draws all categories alike, "by_size" by their number of photographs.

    Raises ValueError for a bad argument, or where no category has enough photographs.
    """

    def __init__(
        self, source: Source, *, seed: int, group_size: int, sampling: str = "uniform"
    ) -> None:
        if group_size < 1:
            raise ValueError(f"group_size is {group_size}; a group has at least one photograph")
        if seed < 0:
            raise ValueError(f"seed is {seed}; expected an integer from 0")
        if sampling not in SAMPLINGS:
            raise ValueError(f"sampling is {sampling!r}; expected one of {sorted(SAMPLINGS)}")
        self.seed = seed
        self.group_size = group_size
        sizes = [len(members) for members in source.members]
        self.eligible = tuple(c for c, size in enumerate(sizes) if size >= group_size)
        self.excluded = tuple(c for c, size in enumerate(sizes) if size < group_size)
        self._members = [source.members[c] for c in self.eligible]
        _report_excluded(source, self.excluded, group_size)
        weights = SAMPLINGS[sampling]([sizes[c] for c in self.eligible])
        self.probabilities = weights / weights.sum()

    def __getitem__(self, index: int) -> Group:
        rng = np.random.default_rng([self.seed, index])
        drawn = int(rng.choice(len(self.eligible), p=self.probabilities))
        chosen = rng.choice(self._members[drawn], size=self.group_size, replace=False)
        return Group(self.eligible[drawn], tuple(int(i) for i in chosen))


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
