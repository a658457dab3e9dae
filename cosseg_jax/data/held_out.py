"""A data set without some of its categories, to test on objects that training never saw."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from cosseg_jax.data.source import Source, members_of
from cosseg_jax.types import Example, Ndarray


class WithoutCategories:
    """A `Source` without every photograph that shows one of the held-out categories.

    The other categories keep their names and their order, and are numbered anew.

    Args:
      source: the photographs.
      held_out: names of categories.

    Raises ValueError for a category that the source does not have, or when none remains.
    """

    def __init__(self, source: Source, held_out: Sequence[str]) -> None:
        unknown = sorted(set(held_out) - set(source.categories))
        if unknown:
            raise ValueError(
                f"held_out names {unknown}, which {source.name!r} does not have; its categories "
                f"are {', '.join(source.categories)}"
            )
        kept = [c for c, name in enumerate(source.categories) if name not in held_out]
        if not kept:
            raise ValueError(f"held_out names every category of {source.name!r}; leave some")
        lost = {
            int(i)
            for c in range(len(source.categories))
            if c not in kept
            for i in source.members[c]
        }
        self._source = source
        self._indices = [index for index in range(len(source)) if index not in lost]
        self._number = np.full(len(source.categories), -1)
        self._number[kept] = np.arange(len(kept))
        self.name = source.name
        self.categories: tuple[str, ...] = tuple(source.categories[c] for c in kept)
        self.names: Sequence[str] = [source.names[index] for index in self._indices]
        self.members: Sequence[Int[Ndarray, " _"]] = self._members(kept)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has photographs 0 to {len(self) - 1}, not {index}")
        example = self._source[self._indices[index]]
        return example._replace(categories=self._number[example.categories])

    def _members(self, kept: Sequence[int]) -> list[np.ndarray]:
        categories_of: dict[int, list[int]] = {index: [] for index in self._indices}
        for category in kept:
            for index in self._source.members[category]:
                if int(index) in categories_of:
                    categories_of[int(index)].append(int(self._number[category]))
        return members_of(list(categories_of.values()), len(kept))


def without_categories(source: Source, held_out: Sequence[str]) -> Source:
    """The source itself where nothing is held out, else as `WithoutCategories`."""
    return WithoutCategories(source, held_out) if held_out else source
