"""Composes the passes of a network over a data set into one result.

The data set is evaluated once for each partition into groups. What the network owes to its groups
takes more: a pass of groups of five over all distinct photographs (`foreign_*`), one of photographs
alone (`gain_alone`), and one of a network without modulators, if there is one. Neither of these
depends on the partition, so each is made once.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cosseg_jax.data.eval_groups import EvalGroup, Grouping, Partition, partitions
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.evaluation import group_metrics
from cosseg_jax.evaluation.ablation import Variant
from cosseg_jax.evaluation.evaluator import (
    IMAGES_PER_BATCH,
    Evaluation,
    OnImage,
    Predict,
    ScoredImage,
    evaluate,
)
from cosseg_jax.evaluation.metrics import PROTOCOLS
from cosseg_jax.evaluation.paper import TABLES
from cosseg_jax.evaluation.results import Figure, Result, over_partitions, summaries
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.forward import make_predictor, prediction_options

SHIPPED_NAME = "cosseg_jax"  # in tables, the network that comes with the package
ALWAYS = ("original", "ssnm")  # protocols that are never left out, before all others


class Settings(NamedTuple):
    """How data sets are evaluated.

    protocols: names in `metrics.PROTOCOLS`; those of `ALWAYS` come first whether named or not.
    group_figures: whether foreign_* and gain_alone are computed, which takes most of the time.
    groups_per_batch, images_per_batch: as in `evaluation.evaluate`.
    """

    grouping: Grouping = Grouping()
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    group_figures: bool = True
    groups_per_batch: int = 4
    images_per_batch: int = IMAGES_PER_BATCH


class Network(NamedTuple):
    """A network to be evaluated.

    name: the folder that it came from.
    load_inputs: from a photograph's index to what `predict` takes of it; by default its pixels.
    """

    name: str
    config: ConfigDict
    predict: Predict
    load_inputs: Callable[[int], Any] | None = None


def load_network(folder: str | Path | None = None) -> Network:
    """An exported network, by default the shipped one; raises as `exports.load_exported` does."""
    config, variables = load_exported(folder)
    return Network(
        SHIPPED_NAME if folder is None else str(folder), config, make_predictor(config, variables)
    )


def load_unmodulated(folder: str | Path) -> Network:
    """An exported network; raises ValueError unless both its modulators are off."""
    network = load_network(folder)
    model = network.config.model
    on = [f"model.{name}" for name in Variant._fields if model[name]]
    if on:
        raise ValueError(
            f"the network in {folder} has {' and '.join(on)}; gain_unmodulated takes one with both "
            "modulators off, as --config configs/ablation.py:neither trains it"
        )
    return network


def score(
    network: Network,
    source: Source,
    settings: Settings,
    *,
    unmodulated: Network | Evaluation | None = None,
    on_image: Sequence[OnImage] = (),
) -> Result:
    """Evaluates a network on a data set.

    Args:
        network: to be evaluated.
        source: the data set.
        settings: protocols, grouping and what else is computed.
        unmodulated: a network with both modulators off, for `gain_unmodulated`, or its evaluation
            on the same data set.
        on_image: called for every scored photograph of the first partition, in order.

    Raises:
        ValueError: for an unknown protocol, or a data set without photographs.
        FloatingPointError: if a prediction is not finite.
    """
    all_partitions = partitions(source, settings.grouping)
    first = all_partitions[0]
    run = _runner(network, source, settings, ordered(settings.protocols))
    own, group = _own_groups(run, all_partitions, on_image)
    if settings.group_figures:
        run = _runner(network, source, settings, ("original",))
        foreign = group_metrics.foreign_figures(run, source, first, settings.grouping.seed)
        group |= {"foreign_empty": foreign.foreign_empty, "foreign_P": foreign.foreign_P}
        group["gain_alone"] = _gains(own, run(group_metrics.alone(first), None, "alone"))
    if isinstance(unmodulated, Network):
        run = _runner(unmodulated, source, settings, ("original",))
        unmodulated = run(first, None, "unmodulated")
    if unmodulated is not None:
        group["gain_unmodulated"] = _gains(own, unmodulated)
    return Result(
        dataset=source.name,
        checkpoint=network.name,
        grouping=settings.grouping,
        images=own[0].images,
        groups=own[0].groups,
        protocols=summaries(own),
        group=group,
        differences=tuple(getattr(source, "differences", ())),
        first=own[0],
    )


def score_variants(
    exports: Mapping[str, Path], source: Source, settings: Settings
) -> dict[str, Result]:
    """Evaluates the networks of `ablation.find_exports`, each beside the one without modulators."""
    neither = score(load_network(exports["neither"]), source, settings)
    return {
        name: neither
        if name == "neither"
        else score(load_network(folder), source, settings, unmodulated=neither.first)
        for name, folder in exports.items()
    }


def ordered(protocols: Sequence[str]) -> tuple[str, ...]:
    """Each protocol once, those of `ALWAYS` first."""
    return tuple(dict.fromkeys((*ALWAYS, *protocols)))


def find_benchmarks(data_dir: str | Path | None) -> tuple[dict[str, Source], dict[str, str]]:
    """The data sets of the paper's tables 1 to 4 that are in `data_dir`, and why others are not.

    Raises:
        ValueError: for a bad file in one of them, or without any `data_dir`.
        FileNotFoundError: if there is none of them.
    """
    found: dict[str, Source] = {}
    missing: dict[str, str] = {}
    for name in TABLES:
        try:
            found[name] = load_source(name, SOURCES[name].splits[-1], data_dir)
        except FileNotFoundError as error:
            missing[name] = str(error)
    if not found:
        raise FileNotFoundError(
            f"none of {', '.join(TABLES)} is in the data directory; prepare at least one: "
            f"{how_to_prepare('NAME')} (of {next(iter(missing))}: {next(iter(missing.values()))})"
        )
    return found, missing


def how_to_prepare(name: str) -> str:
    """The command that makes a data set ready."""
    return f"python -m cosseg_jax.data.prepare {name} --source DIR --data_dir DIR"


def _own_groups(
    run: group_metrics.Run, all_partitions: Sequence[Partition], on_image: Sequence[OnImage]
) -> tuple[list[Evaluation], dict[str, Figure]]:
    """Evaluates every partition; with the figures of the photographs that classes share."""
    evaluations, shared = [], []
    for number, groups in enumerate(all_partitions):
        collected = group_metrics.SharedImages()
        listeners = (collected, *on_image) if number == 0 else (collected,)
        label = f"partition {number + 1}" if len(all_partitions) > 1 else ""
        evaluations.append(run(groups, _to_all(listeners), label))
        shared.append(collected.result())
    return evaluations, {
        "shared_J": over_partitions([figures.shared_J for figures in shared]),
        "shared_entries": shared[0].shared_entries,
        "shared_images": shared[0].shared_images,
    }


def _runner(
    network: Network, source: Source, settings: Settings, protocols: Sequence[str]
) -> group_metrics.Run:
    """Evaluates the network on groups of the data set, under a progress bar of the given label."""
    options = prediction_options(network.config)

    def run(groups: Sequence[EvalGroup], on_image: OnImage | None, label: str) -> Evaluation:
        return evaluate(
            network.predict,
            source,
            groups,
            image_size=options.image_size,
            refine=options.refine,
            groups_per_batch=settings.groups_per_batch,
            images_per_batch=settings.images_per_batch,
            protocols=protocols,
            on_image=on_image,
            progress=f"{source.name} {label}".strip(),
            load_inputs=network.load_inputs,
        )

    return run


def _to_all(listeners: Sequence[OnImage]) -> OnImage:
    def on_image(image: ScoredImage) -> None:
        for listener in listeners:
            listener(image)

    return on_image


def _gains(own: Sequence[Evaluation], other: Evaluation) -> Figure:
    return over_partitions([group_metrics.gain(evaluation, other) for evaluation in own])
