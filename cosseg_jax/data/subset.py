"""Some of the photographs of a data set, as a data set of its own."""

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from cosseg_jax.data.source import Source, members_of
from cosseg_jax.types import Example, Ndarray

VALIDATION_SHARE = 5  # one of so many photographs is for validation


class Subset:
    """A `Source` of some photographs of another, in which all or some of its categories count.

    Categories keep their names and their order. Where some do not count they are numbered anew.

    whole: the photographs.
    indices: ascending; of those that are kept.
    categories: ascending numbers of those that count; by default all.
    """

    def __init__(
        self, whole: Source, indices: Sequence[int], categories: Sequence[int] | None = None
    ) -> None:
        kept = range(len(whole.categories)) if categories is None else categories
        self.whole = whole
        self.indices = [int(index) for index in indices]
        self._number = np.full(len(whole.categories), -1)
        self._number[list(kept)] = np.arange(len(kept))
        self.name = whole.name
        self.categories: tuple[str, ...] = tuple(whole.categories[c] for c in kept)
        self.names: Sequence[str] = [whole.names[index] for index in self.indices]
        self.members: Sequence[Int[Ndarray, " _"]] = self._members(kept)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has photographs 0 to {len(self) - 1}, not {index}")
        example = self.whole[self.indices[index]]
        numbers = self._number[example.categories]
        counts = numbers >= 0
        return example._replace(categories=numbers[counts], masks=example.masks[counts])

    def _members(self, kept: Sequence[int]) -> list[np.ndarray]:
        place = {index: number for number, index in enumerate(self.indices)}
        categories_of: list[list[int]] = [[] for _ in self.indices]
        for category in kept:
            for index in self.whole.members[category]:
                if int(index) in place:
                    categories_of[place[int(index)]].append(int(self._number[category]))
        return members_of(categories_of, len(kept))


def drawn_split(source: Source, split: str) -> Source:
    """The "train" or "val" part of a data set that comes without such parts.

    About a fifth of the photographs is for validation. Which ones follows from their names without
    the class alone: it stays as it is when others are added, and a photograph in two classes is on
    one side.

    Raises ValueError where a part is empty.
    """
    held = [_is_held(name) for name in source.names]
    kept = [i for i, is_held in enumerate(held) if is_held == (split == "val")]
    if not kept:
        raise ValueError(
            f"{source.name!r} has {len(held)} photographs, none of which falls to the part "
            f"{split!r}; add some"
        )
    return Subset(source, kept)


def _is_held(name: str) -> bool:
    return zlib.crc32(name.rpartition("/")[2].encode()) % VALIDATION_SHARE == 0
