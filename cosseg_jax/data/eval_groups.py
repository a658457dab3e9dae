"""How a benchmark's photographs are put into groups for evaluation (section 4.2).

    fives     the paper's way: the photographs of a class in sorted order, in consecutive fives;
              the last five is completed from the first photographs, which are not counted again
    whole     a class is one group
    random:K  as fives, after shuffling each class: K such partitions, each of all photographs

The fives may be of another size. Groups depend on the names of photographs and classes and, where
they are drawn, on a seed; never on the order in which a source lists them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cosseg_jax.data.source import Source
from cosseg_jax.errors import check_choice


class EvalGroup(NamedTuple):
    """One group to be segmented together.

    category: the category whose masks the predictions are held against.
    indices: where the photographs lie in their source.
    counted: False for photographs that only complete the group and have their score elsewhere.
    """

    category: int
    indices: tuple[int, ...]
    counted: tuple[bool, ...]


Partition = list[EvalGroup]


class Grouping(NamedTuple):
    """A way of making groups.

    way: a key of `WAYS`.
    repeats: how many partitions are made; more than one only of random ones.
    size: photographs in a group, where the way leaves it open.
    seed: of random partitions.
    """

    way: str = "fives"
    repeats: int = 1
    size: int = 5
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.way}:{self.repeats}" if self.way == "random" else self.way


# from a class's name and its sorted photographs: their order and the size of a group
Arrange = Callable[[str, list[int], Grouping, int], tuple[list[int], int]]


def _fives(
    category: str, members: list[int], grouping: Grouping, repeat: int
) -> tuple[list[int], int]:
    return members, grouping.size


def _whole(
    category: str, members: list[int], grouping: Grouping, repeat: int
) -> tuple[list[int], int]:
    return members, max(1, len(members))


def _random(
    category: str, members: list[int], grouping: Grouping, repeat: int
) -> tuple[list[int], int]:
    rng = np.random.default_rng((grouping.seed, repeat, *category.encode()))
    return [members[place] for place in rng.permutation(len(members))], grouping.size


WAYS: dict[str, Arrange] = {"fives": _fives, "whole": _whole, "random": _random}


def parse_grouping(text: str, size: int = 5, seed: int = 0) -> Grouping:
    """Reads `fives`, `whole` or `random:K`.

    Raises ValueError, saying what is valid, for anything else, a size below 1 or a negative seed.
    """
    way, colon, number = text.partition(":")
    check_choice("grouping", "random:K" if way == "random" else way, ("fives", "whole", "random:K"))
    if way != "random" and colon:
        raise ValueError(f"grouping is {text!r}; only random takes a number, as in random:5")
    if way == "random" and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise ValueError(
            f"grouping is {text!r}; random takes the number of partitions, 1 or more: random:5"
        )
    if size < 1:
        raise ValueError(f"group_size is {size}; a group has at least one photograph")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it takes 0 or more")
    return Grouping(way, int(number or 1), size, seed)


def partitions(source: Source, grouping: Grouping) -> list[Partition]:
    """The partition, or the `repeats` random ones.

    In each of them every photograph of every class is counted exactly once in that class.

    Raises ValueError for an unknown way, a size below 1, or a source without photographs.
    """
    check_choice("grouping", grouping.way, WAYS)
    if grouping.size < 1:
        raise ValueError(f"group_size is {grouping.size}; a group has at least one photograph")
    if not any(len(members) for members in source.members):
        raise ValueError(f"{source.name!r} has no photograph of any category to evaluate on")
    return [_partition(source, grouping, repeat) for repeat in range(grouping.repeats)]


def fives(source: Source, group_size: int = 5) -> Partition:
    """The paper's partition, with groups of `group_size`; raises as `partitions` does."""
    return partitions(source, Grouping(size=group_size))[0]


def sorted_members(source: Source, category: int) -> list[int]:
    """A class's photographs in the order of their names, whatever order the source has them in."""
    members = (int(index) for index in source.members[category])
    return sorted(members, key=lambda index: (source.names[index], index))


def _partition(source: Source, grouping: Grouping, repeat: int) -> Partition:
    groups = []
    for category, name in enumerate(source.categories):
        members = sorted_members(source, category)
        groups += _consecutive(category, *WAYS[grouping.way](name, members, grouping, repeat))
    return groups


def _consecutive(category: int, members: Sequence[int], group_size: int) -> Partition:
    """Groups of `group_size`; a class with fewer photographs is one group of its own size."""
    size = min(group_size, len(members))
    groups = []
    for start in range(0, len(members), group_size):
        own = tuple(members[start : start + group_size])
        missing = size - len(own)
        counted = (True,) * len(own) + (False,) * missing
        groups.append(EvalGroup(category, (*own, *members[:missing]), counted))
    return groups
