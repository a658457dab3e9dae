"""Composes the evaluation of a network on a data set into one result.

Every partition into groups is evaluated. The group-dependence metrics need further groups, which do
not depend on the partition: each distinct image among four images of another category (`foreign_*`)
and each image alone (`gain_alone`). They are evaluated together with the first partition, so that
images are encoded once for all. `gain_unmodulated` needs a second network.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cosseg_jax.data.eval_groups import Grouping, partitions
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source
from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.evaluation import group_metrics
from cosseg_jax.evaluation.ablation import Variant
from cosseg_jax.evaluation.evaluator import Evaluation, GroupList, OnImage, ScoredImage, evaluate
from cosseg_jax.evaluation.metrics import PROTOCOLS
from cosseg_jax.evaluation.paper import TABLES
from cosseg_jax.evaluation.results import Figure, Result, over_partitions, summaries
from cosseg_jax.evaluation.segmenter import Segmenter
from cosseg_jax.predict.predictor import load
from cosseg_jax.predict.refinement import Refine

SHIPPED_LABEL = "cosseg_jax"  # in tables, the network that comes with the package
ALWAYS = ("original", "ssnm")  # protocols that are always evaluated, before all others
CACHE_GIGABYTES = 6.0  # of encodings that are kept; 900 images of the shipped network
FURTHER = ("coca", "cosal2015", "cosod3k")  # benchmarks of co-salient object detection
OWN, ALONE, FOREIGN = "own groups", "alone", "foreign"


class Settings(NamedTuple):
    """How data sets are evaluated.

    protocols: names in `metrics.PROTOCOLS`; those of `ALWAYS` come first whether named or not.
    group_metrics: whether foreign_* and gain_alone are computed.
    """

    grouping: Grouping = Grouping()
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    group_metrics: bool = True


class Network(NamedTuple):
    """A network to be evaluated.

    name: the folder that it came from.
    refine: what its masks go through, or None (`predict.refinement`).
    load_inputs: from an image's index to the network's input; by default the resized image.
    """

    name: str
    config: ConfigDict
    segmenter: Segmenter
    refine: Refine | None = None
    load_inputs: Callable[[int], Any] | None = None


def load_network(
    folder: str | Path | None = None,
    *,
    cache_gigabytes: float = CACHE_GIGABYTES,
    **options: Any,
) -> Network:
    """An exported network, by default the shipped one; raises as `predictor.load` does.

    cache_gigabytes: of encodings that are kept while images are evaluated in several groups.
    options: `mode`, `refine` and `sam_weights`, as `predictor.load` takes them.
    """
    predictor = load(folder, encoding_bytes=int(cache_gigabytes * 1e9), **options)
    name = SHIPPED_LABEL if folder is None else str(folder)
    return Network(name, predictor.config, predictor.network, predictor.refiner())


def load_unmodulated(folder: str | Path, **options: Any) -> Network:
    """An exported network; raises UserError unless both its modulators are off."""
    network = load_network(folder, **options)
    model = network.config.model
    on = [f"model.{name}" for name in Variant._fields if model[name]]
    if on:
        raise UserError(
            f"the network in {folder} has {' and '.join(on)}; gain_unmodulated needs one with both "
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
        network: the network to evaluate.
        source: the data set.
        settings: protocols, grouping and what else is computed.
        unmodulated: a network with both modulators off, for `gain_unmodulated`, or its evaluation
            on the same data set.
        on_image: called for every scored image of the first partition, in order.

    Raises:
        UserError: for an unknown protocol, or a data set without images.
        NotFiniteError: if a prediction is not finite.
    """
    protocols = ordered(settings.protocols)
    all_partitions = partitions(source, settings.grouping)
    first = all_partitions[0]
    foreign = group_metrics.ForeignImages()
    further: dict[str, GroupList] = {}
    if settings.group_metrics:
        further[ALONE] = GroupList(group_metrics.alone(first), ("original",))
        groups = group_metrics.foreign_groups(source, first, settings.grouping.seed)
        if groups:
            further[FOREIGN] = GroupList(groups, ("original",), foreign)

    own: list[Evaluation] = []
    shared: list[group_metrics.GroupMetrics] = []
    for number, groups in enumerate(all_partitions):
        collected = group_metrics.SharedImages()
        listeners = (collected, *on_image) if number == 0 else (collected,)
        lists = {OWN: GroupList(groups, protocols, _to_all(listeners))}
        label = f"partition {number + 1}" if len(all_partitions) > 1 else ""
        found = _run(network, source, lists | (further if number == 0 else {}), label)
        own.append(found[OWN])
        shared.append(collected.result())
        if number == 0:
            alone = found.get(ALONE)

    metrics: dict[str, Figure] = {
        "shared_J": over_partitions([each.shared_J for each in shared]),
        "shared_entries": shared[0].shared_entries,
        "shared_images": shared[0].shared_images,
    }
    if settings.group_metrics:
        metrics["foreign_empty"] = foreign.result().foreign_empty
        metrics["foreign_P"] = foreign.result().foreign_P
        assert alone is not None
        metrics["gain_alone"] = _gains(own, alone)
    if isinstance(unmodulated, Network):
        lists = {OWN: GroupList(first, ("original",))}
        unmodulated = _run(unmodulated, source, lists, "unmodulated")[OWN]
    if unmodulated is not None:
        metrics["gain_unmodulated"] = _gains(own, unmodulated)
    return Result(
        dataset=source.name,
        checkpoint=network.name,
        grouping=settings.grouping,
        images=own[0].images,
        groups=own[0].groups,
        protocols=summaries(own),
        group=metrics,
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

    Those of `FURTHER` follow.

    Raises:
        ValueError: for a bad file in one of them, or without any `data_dir`.
        FileNotFoundError: if there is none of them.
    """
    found: dict[str, Source] = {}
    missing: dict[str, str] = {}
    for name in (*TABLES, *FURTHER):
        try:
            found[name] = load_source(name, SOURCES[name].splits[-1], data_dir)
        except FileNotFoundError as error:
            missing[name] = str(error)
    if not found:
        raise MissingFileError(
            f"none of {', '.join(TABLES)} is in the data directory; prepare at least one: "
            f"{how_to_prepare('NAME')} (of {next(iter(missing))}: {next(iter(missing.values()))})"
        )
    return found, missing


def how_to_prepare(name: str) -> str:
    """The command that makes a data set ready."""
    return f"python -m cosseg_jax.data.prepare {name} --source DIR --data_dir DIR"


def _run(
    network: Network, source: Source, lists: Mapping[str, GroupList], label: str
) -> dict[str, Evaluation]:
    """Evaluates the network on groups of the data set, with a progress bar of the given label."""
    return evaluate(
        network.segmenter,
        source,
        lists,
        refine=network.refine,
        progress=f"{source.name} {label}".strip(),
        load_inputs=network.load_inputs,
    )


def _to_all(listeners: Sequence[OnImage]) -> OnImage:
    def on_image(image: ScoredImage) -> None:
        for listener in listeners:
            listener(image)

    return on_image


def _gains(own: Sequence[Evaluation], other: Evaluation) -> Figure:
    return over_partitions([group_metrics.gain(evaluation, other) for evaluation in own])
