"""What every data set looks like to the rest of the package: photographs by index.

Some of the photographs of a data set, as a data set of its own.

Some categories of a data set: those that training sees, or those that it never saw.
"""

import zlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from cosseg_jax.types import Example, Ndarray


@runtime_checkable
class Source(Protocol):
    """A data set: photographs by index, and for each category the photographs that hold it.

    name: the data set's name, as on the command line.
    categories: the names of the L categories, in label order.
    members: for each category, the ascending indices of the photographs that contain it.
    names: the name of every photograph, known without decoding it.
    """

    @property
    def name(self) -> str: ...

    @property
    def categories(self) -> tuple[str, ...]: ...

    @property
    def members(self) -> Sequence[Int[Ndarray, " _"]]: ...

    @property
    def names(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def members_of(categories_of: Sequence[Sequence[int]], num_categories: int) -> list[np.ndarray]:
    """Turns the categories of each photograph into the photographs of each category."""
    members: list[list[int]] = [[] for _ in range(num_categories)]
    for index, categories in enumerate(categories_of):
        for category in categories:
            members[category].append(index)
    return [np.asarray(indices, dtype=np.int64) for indices in members]


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


def without_categories(source: Source, held_out: Sequence[str]) -> Source:
    """A source without every photograph that shows one of some categories: to train on.

    The source itself where nothing is held out. Raises ValueError for a category that the source
    does not have, or when none remains.
    """
    if not held_out:
        return source
    gone = _numbers("held_out", source, held_out)
    kept = [c for c in range(len(source.categories)) if c not in gone]
    if not kept:
        raise ValueError(f"held_out names every category of {source.name!r}; leave some")
    lost = _showing(source, gone)
    return Subset(source, [i for i in range(len(source)) if i not in lost], kept)


def only_categories(source: Source, names: Sequence[str]) -> Source:
    """A source of the photographs that show one of some categories, which alone count: to test on.

    Raises ValueError where none is named, or one that the source does not have.
    """
    if not names:
        raise ValueError("categories names none; name those to be evaluated")
    kept = _numbers("categories", source, names)
    return Subset(source, sorted(_showing(source, kept)), kept)


def _numbers(field: str, source: Source, names: Sequence[str]) -> list[int]:
    unknown = sorted(set(names) - set(source.categories))
    if unknown:
        raise ValueError(
            f"{field} names {unknown}, which {source.name!r} does not have; its categories "
            f"are {', '.join(source.categories)}"
        )
    return [c for c, name in enumerate(source.categories) if name in names]


def _showing(source: Source, categories: Sequence[int]) -> set[int]:
    return {int(index) for category in categories for index in source.members[category]}
