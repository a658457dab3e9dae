"""Runs a network over the groups of a data set and scores its masks (section 4.2).

Photographs are decoded, and masks scored, in threads beside the network; at most a few batches
are alive at a time, so that memory does not grow with the data set.

Groups into batches, their photographs decoded while the network is busy.

Groups of one size N are batched together and the last batch is filled up with repetitions that are
not scored: no photograph is dropped, and the network is compiled once for each N. The groups of a
batch become fewer where they are large; the largest group has to fit into memory.
"""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from cosseg_jax.data.augment import resized_image
from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation import metrics
from cosseg_jax.predict.guided_filter import refined
from cosseg_jax.types import Example, GroupMasks, Ndarray

IMAGES_PER_BATCH = 40  # a batch holds more only where a single group does
_BATCHES_AHEAD = 2

Predict = Callable[[Any], GroupMasks]  # of images [B, N, S, S, 3], or of other inputs


class Evaluation(NamedTuple):
    """What `evaluate` found: the figures of each protocol, and how much was evaluated."""

    protocols: dict[str, metrics.ProtocolScores]
    images: int
    groups: int


class ScoredImage(NamedTuple):
    """One photograph as it was predicted and scored in one group.

    category: the name of the group's category.
    group: the group; index: which of its photographs this is.
    probability: of the foreground, at the photograph's own size.
    prior: S, the spatial prior.
    scores: P and J by protocol.
    """

    category: str
    group: EvalGroup
    index: int
    example: Example
    probability: Float[Ndarray, "H W"]
    prior: Float[Ndarray, "h w"]
    scores: dict[str, metrics.Scores]


OnImage = Callable[[ScoredImage], None]


class Loaded(NamedTuple):
    """One member of a group. example: None where the member is not scored nor decoded."""

    example: Example | None
    inputs: Any


class _Predicted(NamedTuple):
    """A counted member with its maps at the network's size."""

    group: EvalGroup
    index: int
    example: Example
    probability: Float[Ndarray, "S S"]
    prior: Float[Ndarray, "h w"]


class _Counted(NamedTuple):
    """A counted member, compared with its truth. probability: at its own size, if it is kept."""

    member: _Predicted
    counts: list[metrics.Counts]
    probability: Float[Ndarray, "H W"] | None


def evaluate(
    predict: Predict,
    source: Source,
    groups: Sequence[EvalGroup],
    *,
    image_size: int,
    refine: bool = False,
    groups_per_batch: int = 4,
    images_per_batch: int = IMAGES_PER_BATCH,
    protocols: Sequence[str] = ("original", "ssnm"),
    on_image: OnImage | None = None,
    progress: bool | str = False,
    load_inputs: Callable[[int], Any] | None = None,
) -> Evaluation:
    """Predicts every group and scores the members that it counts.

    Args:
        predict: from inputs stacked to [B, N, ...] to probabilities [B, N, S, S] and S.
        source: the photographs and their true masks.
        groups: which photographs the network sees together, for which category.
        image_size: S, the side to which photographs are resized for the network.
        refine: probabilities go through `refinement.refined` before they are scored.
        groups_per_batch: B; fewer where a group size N has fewer groups.
        images_per_batch: B N at most, unless a single group is larger.
        protocols: names in `metrics.PROTOCOLS`.
        on_image: called in the order of evaluation, in the caller's thread, for every scored
            photograph.
        progress: whether to draw a progress bar on stderr; a text is its label.
        load_inputs: from a photograph's index to what the network takes of it (a tree of
            arrays); by default the photograph itself, resized, uint8 [S, S, 3].

    Raises:
        ValueError: for an unknown protocol, no groups, or an empty group.
        FloatingPointError: if a prediction is not finite; the message names the group.
    """
    chosen = [metrics.protocol_named(name) for name in protocols]
    _check(groups, groups_per_batch)
    tallies = [metrics.start(len(source.categories)) for _ in chosen]
    counted = sum(sum(group.counted) for group in groups)
    label = progress if isinstance(progress, str) else "evaluate"
    bar = tqdm(total=counted, desc=label, unit="image", disable=not progress)

    with concurrent.futures.ThreadPoolExecutor(_threads()) as pool, bar:
        batches = list(batched_by_size(groups, groups_per_batch, images_per_batch))
        loaded = load_ahead(pool, source, batches, image_size, load_inputs)
        predicted = _predict_all(predict, batches, loaded, source)
        for found in _score_behind(pool, chosen, predicted, refine, keep=on_image is not None):
            category = found.member.group.category
            for i, protocol in enumerate(chosen):
                tallies[i] = metrics.update(tallies[i], protocol, category, found.counts[i])
            if on_image is not None:
                on_image(_scored_image(found, source, protocols))
            bar.update()

    results = {
        name: metrics.compute(tally, protocol, source.categories)
        for name, tally, protocol in zip(protocols, tallies, chosen, strict=True)
    }
    return Evaluation(results, images=counted, groups=len(groups))


def truth_of(example: Example, category: int) -> Bool[Ndarray, "H W"]:
    """The example's mask of `category`; all False where it does not contain it."""
    masks = example.masks[example.categories == category]  # [1, or 0 without it, H, W]
    return np.logical_or.reduce(masks, axis=0)  # [H, W]


def _scored_image(found: _Counted, source: Source, protocols: Sequence[str]) -> ScoredImage:
    member = found.member
    assert found.probability is not None
    return ScoredImage(
        source.categories[member.group.category],
        member.group,
        member.index,
        member.example,
        found.probability,
        member.prior,
        {
            name: metrics.image_scores(metrics.PROTOCOLS[name], counts)
            for name, counts in zip(protocols, found.counts, strict=True)
        },
    )


def _check(groups: Sequence[EvalGroup], groups_per_batch: int) -> None:
    if not groups:
        raise ValueError("there is no group to evaluate: the data set has no photographs")
    if groups_per_batch < 1:
        raise ValueError(f"groups_per_batch is {groups_per_batch}; it must be at least 1")
    for group in groups:
        if not group.indices or len(group.indices) != len(group.counted):
            raise ValueError(
                f"a group of category {group.category} has {len(group.indices)} photographs and "
                f"{len(group.counted)} counted flags; it needs one flag for each of N >= 1"
            )


def _threads() -> int:
    return max(2, min(16, os.cpu_count() or 1))


def _predict_all(
    predict: Predict,
    batches: Sequence[list[EvalGroup]],
    loaded: Iterator[list[list[Loaded]]],
    source: Source,
) -> Iterator[list[_Predicted]]:
    """Yields the counted members of each batch with their maps."""
    for batch, members in zip(batches, loaded, strict=True):
        inputs = [_stack([member.inputs for member in group]) for group in members]
        masks = predict(_stack(inputs))
        probabilities = np.asarray(masks.probabilities, np.float32)  # [B, N, S, S]
        priors = np.asarray(masks.prior, np.float32)  # [B, N, h, w]
        _check_finite(probabilities, batch, source)
        yield [
            _Predicted(
                group, group.indices[n], member.example, probabilities[b, n], priors[b, n]
            )
            for b, group in enumerate(batch)
            for n, member in enumerate(members[b])
            if member.example is not None
        ]


def _stack(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _check_finite(
    probabilities: Float[Ndarray, "B N S S"], batch: list[EvalGroup], source: Source
) -> None:
    for group, maps in zip(batch, probabilities, strict=True):
        if not np.isfinite(maps).all():
            names = ", ".join(source.names[index] for index in group.indices)
            raise FloatingPointError(
                f"the network's prediction is not finite for the group of "
                f"{source.categories[group.category]!r} with the photographs {names}; "
                "the checkpoint's parameters are probably not finite either"
            )


def _score_behind(
    pool: concurrent.futures.Executor,
    protocols: Sequence[metrics.Protocol],
    predicted: Iterator[list[_Predicted]],
    refine: bool,
    *,
    keep: bool,
) -> Iterator[_Counted]:
    """Yields scored photographs in order, scored while the network computes the next batch."""

    def score(member: _Predicted) -> _Counted:
        truth = truth_of(member.example, member.group.category)
        void, probability = member.example.void, member.probability
        if refine:
            probability = refined(probability, member.example.image)
        counts = [metrics.count(p, probability, truth, void) for p in protocols]
        at_own_size = metrics.resize_map(probability, truth.shape) if keep else None
        return _Counted(member, counts, at_own_size)

    waiting: collections.deque[list[concurrent.futures.Future[_Counted]]] = collections.deque()
    for batch in predicted:
        waiting.append([pool.submit(score, member) for member in batch])
        if len(waiting) > 1:
            yield from (future.result() for future in waiting.popleft())
    for futures in waiting:
        yield from (future.result() for future in futures)


def batched_by_size(
    groups: Iterable[EvalGroup], groups_per_batch: int, images_per_batch: int = IMAGES_PER_BATCH
) -> Iterator[list[EvalGroup]]:
    """Yields the groups in lists of one size N each, of at most `groups_per_batch` groups, fewer
    where these would have more than `images_per_batch` photographs, but at least one.

    All lists of one N have the same length, the last one completed by repetitions of its last
    group that count no image: one shape, so one compilation, for each N.
    """
    by_size: dict[int, list[EvalGroup]] = collections.defaultdict(list)
    for group in groups:
        by_size[len(group.indices)].append(group)
    for size, same_size in by_size.items():
        length = min(groups_per_batch, len(same_size), max(1, images_per_batch // size))
        for first in range(0, len(same_size), length):
            batch = same_size[first : first + length]
            filler = batch[-1]._replace(counted=(False,) * len(batch[-1].indices))
            yield batch + [filler] * (length - len(batch))


def load_ahead(
    pool: concurrent.futures.Executor,
    source: Source,
    batches: Sequence[list[EvalGroup]],
    image_size: int,
    load_inputs: Callable[[int], Any] | None,
) -> Iterator[list[list[Loaded]]]:
    """Yields the members of each batch's groups, decoded while the network is busy."""

    def load(index: int, decode: bool) -> Loaded:
        if load_inputs is not None:
            return Loaded(source[index] if decode else None, load_inputs(index))
        example = source[index]
        return Loaded(example if decode else None, resized_image(example.image, image_size))

    waiting: collections.deque[list[list[concurrent.futures.Future[Loaded]]]] = collections.deque()
    for batch in batches:
        distinct = list(dict.fromkeys(batch))  # a filler is not loaded twice
        futures = {
            group: [
                pool.submit(load, *member)
                for member in zip(group.indices, group.counted, strict=True)
            ]
            for group in distinct
        }
        waiting.append([futures[group] for group in batch])
        if len(waiting) > _BATCHES_AHEAD:
            yield [[future.result() for future in group] for group in waiting.popleft()]
    for ready in waiting:
        yield [[future.result() for future in group] for group in ready]
