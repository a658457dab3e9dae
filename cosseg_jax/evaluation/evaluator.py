"""Runs a network over the groups of a data set and scores its masks (section 4.2).

The masks are those that users get: `predict.chunked` computes them and empties those of images in
which the object is not present. One call evaluates several lists of groups over the same images
(images in their own groups, alone, among images of another category), category by category, so that
an image is encoded about once for all of them.

Images are decoded, and masks scored, in threads beside the network; few are in memory at a time.
"""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.data.source import Source
from cosseg_jax.errors import NotFiniteError, UserError
from cosseg_jax.evaluation import metrics
from cosseg_jax.evaluation.read_ahead import ReadAhead
from cosseg_jax.evaluation.segmenter import Segmenter
from cosseg_jax.predict.binary_masks import THRESHOLD
from cosseg_jax.predict.refinement import Refine
from cosseg_jax.types import Example, Ndarray

GROUPS_AHEAD = 3  # whose images are decoded while the network is busy, and scored behind it


class Evaluation(NamedTuple):
    """The metrics of each protocol, and how much was evaluated."""

    protocols: dict[str, metrics.ProtocolScores]
    images: int
    groups: int


class ScoredImage(NamedTuple):
    """One image as it was predicted and scored in one group.

    category: the name of the group's category.
    group: the group; index: the image's index in the source.
    probability: of the foreground, at the image's own size.
    mask: the mask that users get.
    prior: S, the spatial prior.
    scores: P and J by protocol.
    """

    category: str
    group: EvalGroup
    index: int
    example: Example
    probability: Float[Ndarray, "H W"]
    mask: Bool[Ndarray, "H W"]
    prior: Float[Ndarray, "h w"]
    scores: dict[str, metrics.Scores]


OnImage = Callable[[ScoredImage], None]


class GroupList(NamedTuple):
    """Groups that are evaluated together.

    protocols: names in `metrics.PROTOCOLS`.
    on_image: called in the caller's thread for every scored image, in the order of evaluation.
    """

    groups: Sequence[EvalGroup]
    protocols: Sequence[str] = ("original", "ssnm")
    on_image: OnImage | None = None


class _Predicted(NamedTuple):
    """An image of a group whose mask counts, with its maps at the network's size."""

    name: str
    group: EvalGroup
    index: int
    example: Example
    probability_map: Float[Ndarray, "S S"]
    prior: Float[Ndarray, "h w"]
    presence: float


class _Scored(NamedTuple):
    """A predicted image compared with its truth. image: for the callback, if there is one."""

    name: str
    category: int
    counts: list[metrics.Counts]
    image: ScoredImage | None


def evaluate(
    segmenter: Segmenter,
    source: Source,
    lists: Mapping[str, GroupList],
    *,
    refine: Refine | None = None,
    progress: bool | str = False,
    load_inputs: Callable[[int], Any] | None = None,
) -> dict[str, Evaluation]:
    """Predicts every group and scores the images that it counts.

    Args:
        segmenter: predicts groups.
        source: the images and their true masks.
        lists: the groups to evaluate, by the name of the result.
        refine: what probabilities go through before they are scored (`predict.refinement`).
        progress: whether to draw a progress bar on stderr; a text is its label.
        load_inputs: from an image's index to the network's input; by default the resized image.

    Returns:
        An evaluation for every list.

    Raises:
        UserError: for an unknown protocol, no groups, or an empty group.
        NotFiniteError: if a prediction is not finite; the message names the group.
    """
    for each in lists.values():
        _check_groups(each)
    protocols = {
        name: [metrics.protocol_named(protocol) for protocol in each.protocols]
        for name, each in lists.items()
    }
    tallies = {
        name: [metrics.start(len(source.categories)) for _ in chosen]
        for name, chosen in protocols.items()
    }
    counted = {name: sum(sum(g.counted) for g in each.groups) for name, each in lists.items()}
    label = progress if isinstance(progress, str) else "evaluate"
    bar = tqdm(total=sum(counted.values()), desc=label, unit="image", disable=not progress)

    with concurrent.futures.ThreadPoolExecutor(_threads()) as pool, bar:
        images = ReadAhead(source, segmenter.image_size, load_inputs, pool)
        predicted = _predict_all(segmenter, source, images, _by_category(lists))
        for scored in _score_behind(pool, source, lists, predicted, refine):
            chosen, name = protocols[scored.name], scored.name
            for place, (protocol, counts) in enumerate(zip(chosen, scored.counts, strict=True)):
                tally = tallies[name][place]
                tallies[name][place] = metrics.update(tally, protocol, scored.category, counts)
            on_image = lists[name].on_image
            if on_image is not None and scored.image is not None:
                on_image(scored.image)
            bar.update()

    return {
        name: Evaluation(
            {
                protocol: metrics.compute(tally, chosen, source.categories)
                for protocol, tally, chosen in zip(
                    each.protocols, tallies[name], protocols[name], strict=True
                )
            },
            images=counted[name],
            groups=len(each.groups),
        )
        for name, each in lists.items()
    }


def truth_of(example: Example, category: int) -> Bool[Ndarray, "H W"]:
    """The example's mask of `category`; all False where it does not contain it."""
    masks = example.masks[example.categories == category]  # [1, or 0 without it, H, W]
    return np.logical_or.reduce(masks, axis=0)  # [H, W]


def _check_groups(each: GroupList) -> None:
    if not each.groups:
        raise UserError("there is no group to evaluate: the data set has no images")
    for group in each.groups:
        if not group.indices or len(group.indices) != len(group.counted):
            raise UserError(
                f"a group of category {group.category} has {len(group.indices)} images and "
                f"{len(group.counted)} counted flags; it needs one flag for each of N >= 1"
            )


def _threads() -> int:
    return max(2, min(16, os.cpu_count() or 1))


def _by_category(lists: Mapping[str, GroupList]) -> list[tuple[str, EvalGroup]]:
    """All groups with the names of their lists, those of one category together."""
    named = [(name, group) for name, each in lists.items() for group in each.groups]
    return sorted(named, key=lambda pair: pair[1].category)  # stable: lists stay in their order


def _predict_all(
    segmenter: Segmenter,
    source: Source,
    images: ReadAhead,
    named: Sequence[tuple[str, EvalGroup]],
) -> Iterator[list[_Predicted]]:
    """Yields the counted images of each group with their maps."""
    groups = [group for _, group in named]
    for place, (name, group) in enumerate(named):
        for ahead in groups[place : place + GROUPS_AHEAD]:
            images.read_ahead(ahead)
        wanted = [n for n, counted in enumerate(group.counted) if counted]
        encoded = [images.encoded(index) for index in group.indices]
        found = segmenter.segment(
            encoded, wanted=wanted if len(wanted) < len(group.indices) else None
        )
        _check_finite_maps(np.asarray(found.probability_maps), group, source)
        yield [
            _Predicted(
                name,
                group,
                group.indices[n],
                images.example(group.indices[n]),
                np.asarray(found.probability_maps[row], np.float32),
                np.asarray(found.prior[row], np.float32),
                float(found.presence[row]),
            )
            for row, n in enumerate(wanted)
        ]
        images.forget(group, groups[place + 1 : place + GROUPS_AHEAD])


def _check_finite_maps(maps: Float[Ndarray, "N S S"], group: EvalGroup, source: Source) -> None:
    if not np.isfinite(maps).all():
        names = ", ".join(source.names[index] for index in group.indices)
        raise NotFiniteError(
            f"the network's prediction is not finite for the group of "
            f"{source.categories[group.category]!r} with the images {names}; "
            "the checkpoint's parameters are probably not finite either"
        )


def _score_behind(
    pool: concurrent.futures.Executor,
    source: Source,
    lists: Mapping[str, GroupList],
    predicted: Iterator[list[_Predicted]],
    refine: Refine | None,
) -> Iterator[_Scored]:
    """Yields scored images in order; they are scored while the network predicts later groups."""
    waiting: collections.deque[list[concurrent.futures.Future[_Scored]]] = collections.deque()
    for group in predicted:
        waiting.append(
            [pool.submit(_score, image, source, lists[image.name], refine) for image in group]
        )
        if len(waiting) >= GROUPS_AHEAD:
            yield from (future.result() for future in waiting.popleft())
    for futures in waiting:
        yield from (future.result() for future in futures)


def _score(image: _Predicted, source: Source, each: GroupList, refine: Refine | None) -> _Scored:
    example, category = image.example, image.group.category
    truth = truth_of(example, category)
    probability = image.probability_map
    if refine is not None:
        probability = refine(probability, example.image)
    present = image.presence > THRESHOLD
    counts = [
        metrics.count(metrics.PROTOCOLS[protocol], probability, truth, example.void, present)
        for protocol in each.protocols
    ]
    if each.on_image is None:
        return _Scored(image.name, category, counts, None)
    scores = {
        protocol: metrics.image_scores(metrics.PROTOCOLS[protocol], found)
        for protocol, found in zip(each.protocols, counts, strict=True)
    }
    at_own_size = metrics.resize_map(probability, truth.shape)
    scored = ScoredImage(
        source.categories[category],
        image.group,
        image.index,
        example,
        at_own_size,
        (at_own_size > THRESHOLD) & present,
        image.prior,
        scores,
    )
    return _Scored(image.name, category, counts, scored)
