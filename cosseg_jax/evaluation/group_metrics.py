"""Figures that only a network that looks at its whole group can earn.

Most photographs of the benchmarks hold one salient object, which can be cut out without ever seeing
the group. These figures tell the difference; all use the protocol `original`, in percent:

    shared_J          mean J over the entries whose photograph occurs in more than one class, so
                      that the right mask differs with the group
    foreign_empty     each photograph in a group with four of a class that it does not contain:
                      the share of masks that are rightly near empty (under 1% of the pixels)
    foreign_P         the mean P there, against an empty truth
    gain_alone        J in its own group minus J alone, N = 1
    gain_unmodulated  J minus the J of a network whose modulators are off

What is drawn depends on names and a seed, not on the order in which a source lists photographs.
"""

import collections
import concurrent.futures
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cosseg_jax.data.eval_groups import EvalGroup, sorted_members
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation import metrics
from cosseg_jax.evaluation.evaluator import Evaluation, OnImage, ScoredImage
from cosseg_jax.types import Example, Ndarray

PARTNERS = 4  # of the foreign class, beside the photograph
NEAR_EMPTY = 0.01  # share of the pixels

# evaluates one network on groups; the text labels the progress bar
Run = Callable[[Sequence[EvalGroup], OnImage | None, str], Evaluation]


class Figures(NamedTuple):
    """As above, in percent and points; None where undefined or not asked for.

    shared_entries, shared_images: over how many entries and photographs `shared_J` runs.
    """

    shared_J: float | None = None
    shared_entries: int = 0
    shared_images: int = 0
    foreign_empty: float | None = None
    foreign_P: float | None = None
    gain_alone: float | None = None
    gain_unmodulated: float | None = None


def content_key(example: Example) -> bytes:
    """The same for two photographs exactly if their decoded pixels are the same."""
    digest = hashlib.blake2b(repr(example.image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(example.image).data)
    return digest.digest()


class SharedImages:
    """Collects, as the `on_image` of an evaluation, what `shared_J` needs: one J an entry."""

    def __init__(self) -> None:
        self._entries: dict[bytes, dict[str, float | None]] = collections.defaultdict(dict)

    def __call__(self, image: ScoredImage) -> None:
        self._entries[content_key(image.example)][image.category] = image.scores["original"].J

    def result(self) -> Figures:
        """The figures of `shared_J` over what was collected so far."""
        shared = [entries for entries in self._entries.values() if len(entries) > 1]
        jaccards = [J for entries in shared for J in entries.values() if J is not None]
        mean = sum(jaccards) / len(jaccards) if jaccards else None
        return Figures(mean, sum(len(entries) for entries in shared), len(shared))


def alone(groups: Sequence[EvalGroup]) -> list[EvalGroup]:
    """Every counted photograph as a group of its own."""
    return [
        EvalGroup(group.category, (index,), (True,))
        for group in groups
        for index, counted in zip(group.indices, group.counted, strict=True)
        if counted
    ]


def foreign_groups(source: Source, groups: Sequence[EvalGroup], seed: int = 0) -> list[EvalGroup]:
    """One group for each distinct photograph: itself and four of a class that it does not contain.

    The class and the four are drawn from the seed and the photograph's name, the same in every
    run. What a photograph contains is judged over all entries of the same content. Photographs
    that contain every class are left out.
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


def foreign_figures(
    run: Run, source: Source, groups: Sequence[EvalGroup], seed: int = 0
) -> Figures:
    """foreign_empty and foreign_P, by a pass of groups of five over the distinct photographs."""
    shares = foreign_shares(run, foreign_groups(source, groups, seed))
    if not shares.size:
        return Figures()
    return Figures(
        foreign_empty=float(100 * (shares < NEAR_EMPTY).mean()),
        foreign_P=float(100 * (1 - shares).mean()),
    )


def foreign_shares(run: Run, groups: Sequence[EvalGroup]) -> Float[Ndarray, " _"]:
    """The share of the pixels outside void, 0..1, that is predicted in each counted photograph."""
    shares: list[float] = []

    def on_image(image: ScoredImage) -> None:
        valid = ~image.example.void
        if valid.any():
            shares.append(float((image.probability > metrics.THRESHOLD)[valid].mean()))

    if groups:
        run(groups, on_image, "foreign")
    return np.asarray(shares)


def gain(own: Evaluation, other: Evaluation) -> float | None:
    """The J of `own` minus the J of `other` under `original`, in points; None if undefined."""
    with_it, without = own.protocols["original"].J, other.protocols["original"].J
    return None if with_it is None or without is None else with_it - without


def _content_keys(source: Source, indices: Sequence[int]) -> dict[int, bytes]:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        keys = pool.map(lambda index: content_key(source[index]), indices)
        return dict(zip(indices, keys, strict=True))
