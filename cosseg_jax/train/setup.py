"""The parts of a training run, each made from its config: sources, network, batches, validation."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from cosseg_jax.data.augment import AugmentOptions
from cosseg_jax.data.feature_cache import CachedSubset, FeatureCache
from cosseg_jax.data.groups import SamplingOptions
from cosseg_jax.data.pipeline import Batches, CachedFeatures, training_batches
from cosseg_jax.data.registry import SOURCES, load_source
from cosseg_jax.data.source import Source, Subset, without_categories
from cosseg_jax.errors import UserError, check_choice
from cosseg_jax.models.ssnm import SSNM, from_config
from cosseg_jax.train.ranges import check_fields
from cosseg_jax.train.step import AXIS, check_shares
from cosseg_jax.train.validation import Validation


def check_config(config: ConfigDict) -> None:
    """Raises a UserError for a value out of its range, or fields that do not go together."""
    check_fields(config)
    for field in ("train_split", "val_split", "test_split"):
        if config[field] or field != "test_split":
            check_choice(field, config[field], SOURCES[config.dataset].splits)
    from_config(config.model, categories=1)
    check_shares(config.groups_per_step)
    frozen = [name for name in ("freeze_backbone", "frozen_stages") if config.model[name]]
    if frozen and not (config.model.pretrained or config.start_from):
        raise UserError(
            f"model.{frozen[0]} is set, but neither model.pretrained nor start_from names weights, "
            "so the backbone would stay random; name its weights, or train it"
        )
    if config.cache_dir and not config.model.freeze_backbone:
        raise UserError(
            "cache_dir is set, but the backbone is trained, so its feature maps change at every "
            'step; set model.freeze_backbone=True or cache_dir=""'
        )


def open_source(config: ConfigDict, split: str) -> Source:
    """A split of the run's data set, without the categories that the config holds out."""
    source = load_source(config.dataset, split, config.data_dir or None)
    return without_categories(source, config.held_out)


def with_categories(config: ConfigDict, source: Source) -> ConfigDict:
    """A copy of the config with the names of the categories that the class head tells apart."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.categories = list(source.categories)
    return config


def training_network(config: ConfigDict) -> SSNM:
    """The network as it is trained here.

    On a CPU with at least as many JAX devices as cores, its solver is "squaring": the devices would
    wait for each other in the threads of a batched `eigh`.
    """
    model = config.model.copy_and_resolve_references()
    devices = jax.local_device_count()
    crowded = jax.default_backend() == "cpu" and 1 < devices >= cores()
    if crowded and model.use_spatial and model.spatial.solver != "squaring":
        model.spatial.solver = "squaring"
        print(
            f"{devices} CPU devices share {cores()} cores: training finds S with "
            'model.spatial.solver="squaring"'
        )
    return from_config(model, len(config.categories), axis_name=AXIS)


def cores() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_cache(
    config: ConfigDict, source: Source, variables: Mapping[str, Any]
) -> CachedFeatures | None:
    """The filled cache of a source's feature maps, if the config asks for one.

    A source that holds categories out takes its part of the whole source's cache, which all folds
    share.
    """
    if not config.cache_dir:
        return None
    folder = Path(config.cache_dir).expanduser()
    mirror = config.cache_mirror or not config.augment.flip
    part = source if config.held_out and isinstance(source, Subset) else None
    whole = source if part is None else part.whole
    cache = FeatureCache(folder, whole, config, variables, mirror=mirror)
    cache.fill()
    return cache if part is None else CachedSubset(cache, part.indices)


def make_batches(config: ConfigDict, source: Source, cache: CachedFeatures | None) -> Batches:
    """This process's stream of training batches."""
    in_threads = not config.worker_processes
    return training_batches(
        source,
        seed=config.seed,
        group_size=config.group_size,
        groups_per_step=config.groups_per_step,
        image_size=config.image_size,
        sampling=SamplingOptions(**config.sampling),
        augment=AugmentOptions(**config.augment),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=config.workers if in_threads else 1,
        processes=config.worker_processes,
        cache=cache,
        category_maps=config.model.category_head,
    )


def make_validation(
    config: ConfigDict, split: str, variables: Mapping[str, Any], groups: int | None = None
) -> Validation:
    """The validation on a split of the run's data set; `groups` replaces `eval_groups`."""
    source = open_source(config, split)
    cache = open_cache(config, source, variables)
    count = config.eval_groups if groups is None else groups
    return Validation(config, source, cache, groups=count)


def test_report(config: ConfigDict, variables: Mapping[str, Any]) -> str:
    """One line with the scores on all groups of the config's `test_split`."""
    scores = make_validation(config, config.test_split, variables, groups=0).scores(variables)
    return f"{config.dataset}, {config.test_split}: J {scores['J']:.1f}, P {scores['P']:.1f}"
