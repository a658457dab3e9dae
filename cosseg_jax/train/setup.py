"""Puts a training run together from its config: data, network, state, checkpoints.

A run that was stopped is found by its checkpoints and goes on; one of another config is refused.

Begins a run with the variables of an exported network, to fine-tune it.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from cosseg_jax.data.augment import AugmentOptions
from cosseg_jax.data.feature_cache import CachedSubset, FeatureCache
from cosseg_jax.data.groups import SamplingOptions
from cosseg_jax.data.pipeline import Batches, CachedFeatures, training_batches
from cosseg_jax.data.registry import load_source
from cosseg_jax.data.source import Source, Subset, without_categories
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.ssnm import SSNM, from_config
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.train.checkpoints import Checkpoints
from cosseg_jax.train.logging import Journal
from cosseg_jax.train.step import (
    AXIS,
    Trainer,
    TrainState,
    initial_state,
    initial_variables,
    make_optimizer,
    parameter_count,
)
from cosseg_jax.train.validation import Validation

# Fields that may change when a run goes on: they do not change what it computes.
FREE_FIELDS = {
    "data_dir",
    "cache_dir",
    "workers",
    "worker_processes",
    "steps",
    "log_every",
    "eval_every",
    "eval_groups",
    "preview_groups",
    "checkpoint_every",
    "test_split",
    "prediction.image_size",
    "prediction.mirror",
    "prediction.refine",
}


class Run(NamedTuple):
    """A training run, ready for its next step.

    config: the given one, with the names of the `categories` of the training set.
    start: the steps that are made already.
    """

    config: ConfigDict
    trainer: Trainer
    batches: Batches
    validation: Validation
    checkpoints: Checkpoints
    start: int


def prepare(config: ConfigDict, workdir: Path) -> Run:
    """Loads the data, builds the network and restores the newest checkpoint in `workdir`.

    Raises:
        ValueError: for a field that is not valid, or a `workdir` of another config.
        FileNotFoundError: if the data are not where `data_dir` says.
    """
    check(config)
    source = open_source(config, config.train_split)
    config = with_categories(config, source)
    network = from_config(config.model, len(source.categories), axis_name=AXIS)
    variables = starting_variables(config, network)
    state = starting_state(config, variables)
    checkpoints = Checkpoints(workdir)
    batches = make_batches(config, source, open_cache(config, source, variables))
    validation = make_validation(config, config.val_split, variables)
    if checkpoints.latest is not None:
        _check_same_run(checkpoints.config_of(checkpoints.latest), config, workdir)
        restored = checkpoints.restore(checkpoints.latest, state)
        state = restored.state
        batches.set_state(json.dumps(restored.data_state).encode())
    trainer = Trainer(network, config, state)
    return Run(config, trainer, batches, validation, checkpoints, start=int(state.step))


def check(config: ConfigDict) -> None:
    """Raises a ValueError for a number that cannot be meant."""
    counts = ("image_size", "group_size", "groups_per_step", "steps")
    for field in (*counts, "log_every", "eval_every", "checkpoint_every"):
        if config[field] < 1:
            raise ValueError(f"{field} is {config[field]}; it takes 1 or more")
    if config.image_size < 32:
        raise ValueError(f"image_size is {config.image_size}; the coarsest maps need 32 or more")
    frozen = [name for name in ("freeze_backbone", "frozen_stages") if config.model[name]]
    if frozen and not (config.model.pretrained or config.start_from):
        raise ValueError(
            f"model.{frozen[0]} is set, but neither model.pretrained nor start_from names weights, "
            "so that the backbone would stay as it was drawn; name its weights, or train it"
        )
    if config.cache_dir and not config.model.freeze_backbone:
        raise ValueError(
            "cache_dir is set, but the backbone is trained, so that its maps change at every step; "
            'set model.freeze_backbone=True or cache_dir=""'
        )


def open_source(config: ConfigDict, split: str) -> Source:
    """A split of the run's data set, without the categories that the config holds out."""
    source = load_source(config.dataset, split, config.data_dir or None)
    return without_categories(source, config.held_out)


def with_categories(config: ConfigDict, source: Source) -> ConfigDict:
    """A copy of the config that names the categories which the class head tells apart."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.categories = list(source.categories)
    return config


def starting_variables(config: ConfigDict, network: SSNM) -> dict[str, Any]:
    """Fresh variables, with pretrained ones in their place where the config names them."""
    variables = initial_variables(network, config.seed)
    if config.start_from:
        return warm_start(config.start_from, variables, config.categories)
    if not config.model.pretrained:
        return variables
    model = config.model
    backbone = {part: tree["backbone"] for part, tree in variables.items() if "backbone" in tree}
    loaded = load_pretrained(model.pretrained, model.backbone, backbone, config.data_dir or None)
    return {
        part: {**tree, "backbone": loaded[part]} if part in loaded else tree
        for part, tree in variables.items()
    }


def starting_state(config: ConfigDict, variables: dict[str, Any]) -> TrainState:
    """The state of a run at step 0."""
    averaged = config.optimizer.ema_decay > 0
    return initial_state(variables, make_optimizer(config), averaged=averaged)


def open_cache(
    config: ConfigDict, source: Source, variables: Mapping[str, Any]
) -> CachedFeatures | None:
    """The filled cache of backbone maps of a source, where the config asks for one.

    Of a source that holds categories out it is the whole source's, which all folds then share.
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
    """The validation on a split of the run's data set; `groups` instead of `eval_groups`."""
    source = open_source(config, split)
    cache = open_cache(config, source, variables)
    count = config.eval_groups if groups is None else groups
    return Validation(config, source, cache, groups=count)


def open_journal(run: Run, workdir: Path) -> Journal:
    """The record of a run; only the first of several processes writes it."""
    config = run.config
    mean_size = SamplingOptions(**config.sampling).mean_size(config.group_size)
    journal = Journal(
        workdir,
        start=run.start,
        steps=config.steps,
        images_per_step=config.groups_per_step * mean_size,
        active=jax.process_index() == 0,
    )
    parameters = parameter_count(run.trainer.state.variables)
    journal.say(f"{parameters:,} parameters on {jax.device_count()} device(s), in {workdir}")
    return journal


def best_variables(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """The variables of a run's best checkpoint, or of its latest if none was validated.

    Raises:
        FileNotFoundError: if the run has no checkpoint yet.
    """
    checkpoints = Checkpoints(workdir)
    step = checkpoints.best if checkpoints.best is not None else checkpoints.latest
    if step is None:
        raise FileNotFoundError(f"{checkpoints.folder} holds no checkpoint yet; train first")
    network = from_config(config.model, len(config.categories), axis_name=AXIS)
    like = jax.eval_shape(lambda: starting_state(config, initial_variables(network, config.seed)))
    with contextlib.closing(checkpoints):
        return checkpoints.restore(step, like).state.variables


def test_report(config: ConfigDict, variables: Mapping[str, Any]) -> str:
    """One line with the scores on all groups of the config's `test_split`."""
    scores = make_validation(config, config.test_split, variables, groups=0).scores(variables)
    return f"{config.dataset}, {config.test_split}: J {scores['J']:.1f}, P {scores['P']:.1f}"


def _check_same_run(saved: ConfigDict, given: ConfigDict, workdir: Path) -> None:
    """Raises a ValueError that lists the differences, unless the run may go on."""
    before, now = _flat(saved), _flat(given)
    lines = [
        f"{name}: {before.get(name, 'absent')!r} in the run, {now.get(name, 'absent')!r} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in FREE_FIELDS
    ]
    if lines:
        raise ValueError(
            f"{workdir} holds a run of another config ({'; '.join(lines)}); "
            "name another --workdir, or give the run's own config to go on with it"
        )


def _flat(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in json.loads(config.to_json_best_effort()).items():
        if isinstance(value, dict):
            flat.update(_flat(ConfigDict(value), f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


SHIPPED_NAME = "shipped"  # in the place of a folder: the network that comes with the package
AID = "params/category/"
MODULATORS = ("params/fusion/", "params/semantic/")
# What tells the training set's categories apart, and starts anew where they are others.
CLASS_HEADS = ("params/semantic/classify/", AID)


def warm_start(
    folder: str | Path, fresh: Mapping[str, Any], categories: Sequence[str]
) -> dict[str, Any]:
    """The variables of an exported network, in the place of a run's fresh ones.

    The category head, a training aid, starts anew where the export has none. It is left out where
    the run has none, and so are modulators that the run has turned off.

    Args:
        folder: written by `train.py --export`, or `SHIPPED_NAME`.
        fresh: of the run's network; its class heads stay where the categories differ.
        categories: names of the run's categories.

    Raises:
        FileNotFoundError: if the folder is not an export.
        ValueError: if its network is not the run's; lists names and shapes.
    """
    shipped = str(folder) == SHIPPED_NAME
    config, variables = load_exported(None if shipped else Path(folder).expanduser())
    found: dict[str, Any] = flatten_dict(variables, sep="/")
    wanted: dict[str, Any] = flatten_dict(dict(fresh), sep="/")
    if list(config.categories) != list(categories):
        found = {name: x for name, x in found.items() if not name.startswith(CLASS_HEADS)}
        found |= {name: x for name, x in wanted.items() if name.startswith(CLASS_HEADS)}
    off = [part for part in (AID, *MODULATORS) if not any(name.startswith(part) for name in wanted)]
    found = {name: x for name, x in found.items() if not name.startswith(tuple(off))}
    found = {name: x for name, x in wanted.items() if name.startswith(AID)} | found
    shapes = [
        f"{name}: {_shape(found, name)} in the export, {_shape(wanted, name)} in the run"
        for name in sorted(found.keys() | wanted.keys())
        if _shape(found, name) != _shape(wanted, name)
    ]
    if shapes:
        raise ValueError(
            f"start_from names {folder}, whose network is not the run's; give both the same "
            "model fields: " + "; ".join(shapes[:10]) + ("; ..." if len(shapes) > 10 else "")
        )
    return dict(fresh) | unflatten_dict({name: found[name] for name in wanted}, sep="/")


def _shape(variables: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(variables[name].shape) if name in variables else None
