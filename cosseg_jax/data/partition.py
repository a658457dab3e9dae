"""How a benchmark's photographs are put into groups for evaluation (section 4.2).

The paper's way: the photographs of a class in sorted order, in consecutive fives; the last five
is completed from the class's first photographs, which are not counted again.
"""

from typing import NamedTuple

from cosseg_jax.data.source import Source


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


def fives(source: Source, group_size: int = 5) -> Partition:
    """Consecutive groups of `group_size`, class after class, photographs sorted by name.

    A class with fewer photographs is one group of its own size. Every photograph of every class is
    counted exactly once in that class.

    Raises ValueError when group_size < 1 or the source is empty.
    """
    if group_size < 1:
        raise ValueError(f"group_size is {group_size}; a group has at least one photograph")
    if not any(len(members) for members in source.members):
        raise ValueError(f"{source.name!r} has no photograph of any category to evaluate on")
    return [
        group
        for category in range(len(source.categories))
        for group in _class_groups(category, _sorted_members(source, category), group_size)
    ]


def _sorted_members(source: Source, category: int) -> list[int]:
    """A class's photographs in the order of their names, whatever order the source has them in."""
    members = (int(index) for index in source.members[category])
    return sorted(members, key=lambda index: (source.names[index], index))


def _class_groups(category: int, members: list[int], group_size: int) -> Partition:
    size = min(group_size, len(members))
    groups = []
    for start in range(0, len(members), group_size):
        own = members[start : start + group_size]
        missing = size - len(own)
        counted = (True,) * len(own) + (False,) * missing
        groups.append(EvalGroup(category, (*own, *members[:missing]), counted))
    return groups
