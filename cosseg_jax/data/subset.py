"""Some of the photographs of a data set, as a data set of its own."""

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from cosseg_jax.data.source import Source
from cosseg_jax.types import Example, Ndarray

VALIDATION_SHARE = 5  # one of so many photographs is for validation


class Subset:
    """A `Source` of the photographs at some places of another; its categories are the other's.

    Args:
      source: the photographs.
      indices: ascending; of those that are kept.
    """

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        self._source = source
        self._indices = np.asarray(indices, dtype=np.int64)
        self.name = source.name
        self.categories: tuple[str, ...] = source.categories
        self.names: Sequence[str] = [source.names[int(i)] for i in self._indices]
        self.members: Sequence[Int[Ndarray, " _"]] = [
            np.flatnonzero(np.isin(self._indices, members)) for members in source.members
        ]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has photographs 0 to {len(self) - 1}, not {index}")
        return self._source[int(self._indices[index])]


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
