"""Metrics that measure whether a network uses its group.

Most images of the benchmarks hold one salient object, which can be cut out without ever seeing the
group. These metrics tell the difference. All use the protocol `original`, in percent:

    shared_J          mean J over the entries whose image occurs in more than one class, so that the
                      right mask differs with the group
    foreign_empty     each image in a group with four images of a class that it does not contain:
                      the share of masks that are rightly near empty (under 1% of the pixels)
    foreign_P         the mean P there, against an empty truth
    gain_alone        J in its own group minus J alone, N = 1
    gain_unmodulated  J minus the J of a network whose modulators are off

What is drawn depends on names and a seed, not on the order in which a source lists its images.
"""

import collections
import concurrent.futures
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cosseg_jax.data.eval_groups import EvalGroup, sorted_members
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation.evaluator import Evaluation, ScoredImage
from cosseg_jax.types import Example

PARTNERS = 4  # images of the foreign class in a group
NEAR_EMPTY = 0.01  # share of the pixels


class GroupMetrics(NamedTuple):
    """The metrics above, in percent and points; None where undefined or not asked for.

    shared_entries, shared_images: the numbers of entries and images that `shared_J` covers.
    """

    shared_J: float | None = None
    shared_entries: int = 0
    shared_images: int = 0
    foreign_empty: float | None = None
    foreign_P: float | None = None
    gain_alone: float | None = None
    gain_unmodulated: float | None = None


def content_key(example: Example) -> bytes:
    """A digest that two images share exactly if their decoded pixels are the same."""
    digest = hashlib.blake2b(repr(example.image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(example.image).data)
    return digest.digest()


class SharedImages:
    """An `on_image` callback that collects what `shared_J` needs: one J per entry."""

    def __init__(self) -> None:
        self._entries: dict[bytes, dict[str, float | None]] = collections.defaultdict(dict)

    def __call__(self, image: ScoredImage) -> None:
        self._entries[content_key(image.example)][image.category] = image.scores["original"].J

    def result(self) -> GroupMetrics:
        """`shared_J` and its counts over what was collected so far."""
        shared = [entries for entries in self._entries.values() if len(entries) > 1]
        jaccards = [J for entries in shared for J in entries.values() if J is not None]
        mean = sum(jaccards) / len(jaccards) if jaccards else None
        return GroupMetrics(mean, sum(len(entries) for entries in shared), len(shared))


class ForeignImages:
    """An `on_image` callback that collects the share of pixels in the mask of each image."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def __call__(self, image: ScoredImage) -> None:
        valid = ~image.example.void
        if valid.any():
            self.shares.append(float(image.mask[valid].mean()))

    def result(self) -> GroupMetrics:
        """`foreign_empty` and `foreign_P` over what was collected so far."""
        if not self.shares:
            return GroupMetrics()
        shares = np.asarray(self.shares)
        return GroupMetrics(
            foreign_empty=float(100 * (shares < NEAR_EMPTY).mean()),
            foreign_P=float(100 * (1 - shares).mean()),
        )


def alone(groups: Sequence[EvalGroup]) -> list[EvalGroup]:
    """Every counted image as a group of its own."""
    return [
        EvalGroup(group.category, (index,), (True,))
        for group in groups
        for index, counted in zip(group.indices, group.counted, strict=True)
        if counted
    ]


def foreign_groups(source: Source, groups: Sequence[EvalGroup], seed: int = 0) -> list[EvalGroup]:
    """A group for each distinct image: itself and four images of a class that it does not contain.

    The class and the four images are drawn from the seed and the image's name, the same in every
    run. What an image contains is judged over all entries with the same content. Images that
    contain every class are left out.
    """
    members = {
        source.categories[category]: (category, sorted_members(source, category))
        for category in {group.category for group in groups}
    }
    entries = [(name, index) for name in sorted(members) for index in members[name][1]]
    keys = _content_keys(source, sorted({index for _, index in entries}))
    contained: dict[bytes, set[str]] = collections.defaultdict(set)
    first_index: dict[bytes, int] = {}
    for name, index in entries:
        contained[keys[index]].add(name)
        first_index.setdefault(keys[index], index)

    result = []
    for key, index in first_index.items():
        foreign = [name for name in sorted(members) if name not in contained[key]]
        if foreign:
            rng = np.random.default_rng((seed, *source.names[index].encode()))
            category, pool = members[foreign[int(rng.integers(len(foreign)))]]
            partners = rng.choice(pool, PARTNERS, replace=len(pool) < PARTNERS)
            indices = (index, *(int(partner) for partner in partners))
            result.append(EvalGroup(category, indices, (True, *(False,) * PARTNERS)))
    return result


def gain(own: Evaluation, other: Evaluation) -> float | None:
    """The J of `own` minus the J of `other` under `original`, in points; None if undefined."""
    first, second = own.protocols["original"].J, other.protocols["original"].J
    return None if first is None or second is None else first - second


def _content_keys(source: Source, indices: Sequence[int]) -> dict[int, bytes]:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        keys = pool.map(lambda index: content_key(source[index]), indices)
        return dict(zip(indices, keys, strict=True))
