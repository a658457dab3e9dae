"""The metrics of a network on a data set, over one or several partitions into groups, and as JSON.

A metric of one partition is a number. Over several random partitions it is a `Spread`: the mean,
the standard deviation and every value. What does not depend on the partition stays a number.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.evaluation.evaluator import Evaluation
from cosseg_jax.evaluation.group_metrics import GroupMetrics


class Spread(NamedTuple):
    """A metric over several partitions. std: of the sample, with K - 1 degrees of freedom."""

    mean: float
    std: float
    each: tuple[float, ...]


Figure = float | Spread | None  # None where undefined


class PJ(NamedTuple):
    """P and J in percent."""

    P: Figure
    J: Figure


class Summary(NamedTuple):
    """P and J of a data set under one protocol, and of each category that had images."""

    P: Figure
    J: Figure
    per_class: dict[str, PJ]


class Result(NamedTuple):
    """The metrics of one network on one data set.

    images, groups: how many were evaluated, in each partition.
    group: the group-dependence metrics: fields of `GroupMetrics`, as far as computed.
    differences: how the data set differs from the paper's description.
    first: the evaluation of the first partition, or of the only one.
    """

    dataset: str
    checkpoint: str
    grouping: Grouping
    images: int
    groups: int
    protocols: dict[str, Summary]
    group: dict[str, Figure]
    differences: tuple[str, ...]
    first: Evaluation


def over_partitions(values: Sequence[float | None]) -> Figure:
    """The value of a single partition, or the spread over several; None if any is undefined."""
    defined = [value for value in values if value is not None]
    if len(defined) < len(values):
        return None
    if len(defined) == 1:
        return defined[0]
    mean = math.fsum(defined) / len(defined)
    variance = math.fsum((value - mean) ** 2 for value in defined) / (len(defined) - 1)
    return Spread(mean, math.sqrt(variance), tuple(defined))


def first_metrics(result: Result) -> GroupMetrics:
    """The group-dependence metrics of the first partition."""
    first: dict[str, Any] = {
        name: figure.each[0] if isinstance(figure, Spread) else figure
        for name, figure in result.group.items()
    }
    return GroupMetrics(**first)


def summaries(evaluations: Sequence[Evaluation]) -> dict[str, Summary]:
    """P and J by protocol, over the partitions that were evaluated."""
    found = {}
    for name, first in evaluations[0].protocols.items():
        every = [evaluation.protocols[name] for evaluation in evaluations]
        per_class = {
            category: PJ(
                over_partitions([scores.per_class[category].P for scores in every]),
                over_partitions([scores.per_class[category].J for scores in every]),
            )
            for category in first.per_class
        }
        P = over_partitions([scores.P for scores in every])
        found[name] = Summary(P, over_partitions([scores.J for scores in every]), per_class)
    return found


def as_json(result: Result) -> dict[str, Any]:
    """A result for JSON: percent, null where undefined or not computed.

    A spread becomes an object with `mean`, `std` and `each`.
    """
    grouping = result.grouping
    return {
        "dataset": result.dataset,
        "checkpoint": result.checkpoint,
        "grouping": str(grouping),
        "group_size": None if grouping.way == "whole" else grouping.size,
        "seed": grouping.seed,
        "images": result.images,
        "groups": result.groups,
        "protocols": {
            name: {**_both(summary), "per_class": _by_class(summary.per_class)}
            for name, summary in result.protocols.items()
        },
        "group": {name: figure_json(result.group.get(name)) for name in GroupMetrics._fields},
        "differences": list(result.differences),
    }


def figure_json(figure: Any) -> Any:
    """A spread as an object; any other value unchanged."""
    if isinstance(figure, Spread):
        return {"mean": figure.mean, "std": figure.std, "each": list(figure.each)}
    return figure


def _by_class(per_class: Mapping[str, PJ]) -> dict[str, Any]:
    return {category: _both(scores) for category, scores in per_class.items()}


def _both(scores: PJ | Summary) -> dict[str, Any]:
    return {"P": figure_json(scores.P), "J": figure_json(scores.J)}
