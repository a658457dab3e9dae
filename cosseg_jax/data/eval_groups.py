"""How the images of a benchmark are divided into groups for evaluation (section 4.2).

    fives     as in the paper: the images of a class in the order of their names, five at a time;
              the last group is completed by the first images, which are not counted again
    whole     each class is one group
    random:K  as fives, after each class is shuffled; K such partitions, each of all images

The fives may have another size. Groups depend on the names of images and classes and, if random, on
a seed, but not on the order of the images in a source.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cosseg_jax.data.source import Source
from cosseg_jax.errors import UserError, check_choice


class EvalGroup(NamedTuple):
    """Images that are segmented together.

    category: the category whose masks the predictions are compared with.
    indices: the images' indices in their source.
    counted: False for images that only complete the group and are scored in another one.
    """

    category: int
    indices: tuple[int, ...]
    counted: tuple[bool, ...]


Partition = list[EvalGroup]


class Grouping(NamedTuple):
    """A way to divide the images into groups.

    way: a key of `ARRANGEMENTS`.
    repeats: the number of partitions; more than one only if they are random.
    size: the number of images in a group, unless a class is one group.
    seed: the seed of random partitions.
    """

    way: str = "fives"
    repeats: int = 1
    size: int = 5
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.way}:{self.repeats}" if self.way == "random" else self.way


# From the name of a class and its sorted images to their order and the size of a group.
Arrange = Callable[[str, list[int], Grouping, int], tuple[list[int], int]]


def _fives(
    category: str, members: list[int], grouping: Grouping, repeat: int
) -> tuple[list[int], int]:
    return members, grouping.size


def _one_group(
    category: str, members: list[int], grouping: Grouping, repeat: int
) -> tuple[list[int], int]:
    return members, max(1, len(members))


def _random(
    category: str, members: list[int], grouping: Grouping, repeat: int
) -> tuple[list[int], int]:
    rng = np.random.default_rng((grouping.seed, repeat, *category.encode()))
    return [members[position] for position in rng.permutation(len(members))], grouping.size


ARRANGEMENTS: dict[str, Arrange] = {"fives": _fives, "whole": _one_group, "random": _random}


def parse_grouping(text: str, size: int = 5, seed: int = 0) -> Grouping:
    """Parses `fives`, `whole` or `random:K`.

    Raises UserError, with what is valid, for anything else, a size below 1 or a negative seed.
    """
    way, colon, number = text.partition(":")
    check_choice("grouping", "random:K" if way == "random" else way, ("fives", "whole", "random:K"))
    if way != "random" and colon:
        raise UserError(f"grouping is {text!r}; only random takes a number, as in random:5")
    if way == "random" and not (number.isascii() and number.isdigit() and int(number) > 0):
        raise UserError(
            f"grouping is {text!r}; random takes the number of partitions, 1 or more: random:5"
        )
    if size < 1:
        raise UserError(f"group_size is {size}; a group has at least one image")
    if seed < 0:
        raise UserError(f"seed is {seed}; expected an integer from 0")
    return Grouping(way, int(number or 1), size, seed)


def partitions(source: Source, grouping: Grouping) -> list[Partition]:
    """The partition, or the `repeats` random ones.

    In each of them every image of every class is counted exactly once in that class.

    Raises UserError for an unknown way, a size below 1, or a source without images.
    """
    check_choice("grouping", grouping.way, ARRANGEMENTS)
    if grouping.size < 1:
        raise UserError(f"group_size is {grouping.size}; a group has at least one image")
    if not any(len(members) for members in source.members):
        raise UserError(f"{source.name!r} has no image of any category to evaluate on")
    return [_partition(source, grouping, repeat) for repeat in range(grouping.repeats)]


def fives(source: Source, group_size: int = 5) -> Partition:
    """The paper's partition, with groups of `group_size`; raises as `partitions` does."""
    return partitions(source, Grouping(size=group_size))[0]


def sorted_members(source: Source, category: int) -> list[int]:
    """The images of a class in the order of their names, independent of the source's order."""
    members = (int(index) for index in source.members[category])
    return sorted(members, key=lambda index: (source.names[index], index))


def _partition(source: Source, grouping: Grouping, repeat: int) -> Partition:
    groups = []
    for category, name in enumerate(source.categories):
        members = sorted_members(source, category)
        groups += _consecutive(
            category, *ARRANGEMENTS[grouping.way](name, members, grouping, repeat)
        )
    return groups


def _consecutive(category: int, members: Sequence[int], group_size: int) -> Partition:
    """Groups of `group_size` images; a class with fewer images is one smaller group."""
    size = min(group_size, len(members))
    groups = []
    for start in range(0, len(members), group_size):
        own = tuple(members[start : start + group_size])
        missing = size - len(own)
        counted = (True,) * len(own) + (False,) * missing
        groups.append(EvalGroup(category, (*own, *members[:missing]), counted))
    return groups
