"""What every data set looks like to the rest of the package: photographs by index."""

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
