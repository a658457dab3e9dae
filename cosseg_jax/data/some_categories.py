"""Some categories of a data set: those that training sees, or those that it never saw."""

from collections.abc import Sequence

from cosseg_jax.data.source import Source
from cosseg_jax.data.subset import Subset


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
