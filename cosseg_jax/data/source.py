"""The interface of every data set: images by index. Also subsets of images and categories."""

import zlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from cosseg_jax.errors import UserError
from cosseg_jax.types import Example, Ndarray

VALIDATION_SHARE = 5  # one of so many images is for validation


@runtime_checkable
class Source(Protocol):
    """A data set: images by index, and for each category the images that contain it.

    name: the data set's name, as on the command line.
    categories: the names of the L categories, in the order of their labels.
    members: for each category, the ascending indices of the images that contain it.
    names: the name of every image, known without decoding it.
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
    """Turns the categories of each image into the images of each category."""
    members: list[list[int]] = [[] for _ in range(num_categories)]
    for index, categories in enumerate(categories_of):
        for category in categories:
            members[category].append(index)
    return [np.asarray(indices, dtype=np.int64) for indices in members]


class Subset:
    """A `Source` of some images of another one and of all or some of its categories.

    Categories keep their names and their order; their numbers are consecutive again.

    whole: the other source.
    indices: the ascending indices of the images that are kept.
    categories: the ascending numbers of the categories that are kept; by default all.
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
            raise IndexError(f"{self.name} has images 0 to {len(self) - 1}, not {index}")
        example = self.whole[self.indices[index]]
        numbers = self._number[example.categories]
        is_kept = numbers >= 0
        return example._replace(categories=numbers[is_kept], masks=example.masks[is_kept])

    def _members(self, kept: Sequence[int]) -> list[np.ndarray]:
        position = {index: number for number, index in enumerate(self.indices)}
        categories_of: list[list[int]] = [[] for _ in self.indices]
        for category in kept:
            for index in self.whole.members[category]:
                if int(index) in position:
                    categories_of[position[int(index)]].append(int(self._number[category]))
        return members_of(categories_of, len(kept))


def split_by_name(source: Source, split: str) -> Source:
    """The "train" or "val" split of a data set that is distributed without splits.

    About a fifth of the images is for validation. An image's name without its class decides: the
    split does not change when images are added, and an image of two classes is in one split.

    Raises UserError where the split is empty.
    """
    for_validation = [_is_for_validation(name) for name in source.names]
    kept = [i for i, is_val in enumerate(for_validation) if is_val == (split == "val")]
    if not kept:
        raise UserError(
            f"{source.name!r} has {len(source)} images, none of which falls into the split "
            f"{split!r}; add images"
        )
    return Subset(source, kept)


def _is_for_validation(name: str) -> bool:
    return zlib.crc32(name.rpartition("/")[2].encode()) % VALIDATION_SHARE == 0


def without_categories(source: Source, held_out: Sequence[str]) -> Source:
    """A source without the images that contain one of some categories, for training.

    It is the source itself where nothing is held out. Raises UserError for a category that the
    source does not have, or when none remains.
    """
    if not held_out:
        return source
    removed = _category_numbers("held_out", source, held_out)
    kept = [c for c in range(len(source.categories)) if c not in removed]
    if not kept:
        raise UserError(f"held_out names every category of {source.name!r}; leave some")
    containing = _containing(source, removed)
    return Subset(source, [i for i in range(len(source)) if i not in containing], kept)


def only_categories(source: Source, names: Sequence[str]) -> Source:
    """A source of the images that contain one of some categories and of only these, for testing.

    Raises UserError where none is named, or one that the source does not have.
    """
    if not names:
        raise UserError("categories is empty; name the categories to evaluate")
    kept = _category_numbers("categories", source, names)
    return Subset(source, sorted(_containing(source, kept)), kept)


def _category_numbers(field: str, source: Source, names: Sequence[str]) -> list[int]:
    unknown = sorted(set(names) - set(source.categories))
    if unknown:
        raise UserError(
            f"{field} names {unknown}, which {source.name!r} does not have; its categories "
            f"are {', '.join(source.categories)}"
        )
    return [c for c, name in enumerate(source.categories) if name in names]


def _containing(source: Source, categories: Sequence[int]) -> set[int]:
    return {int(index) for category in categories for index in source.members[category]}
