"""Starts a training run from its config and workdir, or goes on with one that was stopped."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.data.pipeline import Batches
from cosseg_jax.errors import UserError
from cosseg_jax.train import multihost, setup
from cosseg_jax.train.checkpoints import Checkpoints
from cosseg_jax.train.logging import RunLog
from cosseg_jax.train.ranges import flat_fields
from cosseg_jax.train.step import (
    Trainer,
    TrainState,
    initial_state,
    make_optimizer,
    parameter_count,
)
from cosseg_jax.train.stopping import locked
from cosseg_jax.train.validation import Validation
from cosseg_jax.train.warm_start import starting_variables

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


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run, ready for its next step.

    config: the given one, with the names of the `categories` of the training set.
    start: the number of steps that were made before.
    validation, checkpoints: None in all but the first of several processes.
    """

    config: ConfigDict
    trainer: Trainer
    batches: Batches
    log: RunLog
    start: int
    validation: Validation | None
    checkpoints: Checkpoints | None

    def validate(self) -> dict[str, float] | None:
        """Scores validation groups and draws some, in the first process; the others wait."""
        scores = None
        if self.validation:
            state = self.trainer.state
            step = int(state.step)
            scores = self.validation.scores(state.variables)
            self.log.write(step, "val", scores)
            self.log.say(f"step {step}: validation J {scores['J']:.1f}, P {scores['P']:.1f}")
            if self.config.preview_groups:
                self.log.preview(step, "val", self.validation.pictures(state.variables))
        multihost.wait_for_all("validation")
        return scores

    def save(self, scores: Mapping[str, float] | None = None) -> None:
        """Starts to save the run as it is, with the scores of its validation, if there was one.

        Raises:
            UserError: if this or an earlier save has failed.
        """
        if self.checkpoints:
            data_state = json.loads(self.batches.get_state())
            self.checkpoints.save(self.trainer.state, data_state, self.config, scores)

    def check_saved(self) -> None:
        """Raises a UserError if a save in the background has failed."""
        if self.checkpoints:
            self.checkpoints.check()

    def best_variables(self) -> dict[str, Any]:
        """The variables of the best checkpoint; in all but the first process the latest ones."""
        if self.checkpoints is None:
            return self.trainer.state.variables
        self.checkpoints.wait()
        best = self.checkpoints.best
        assert best is not None, "the loop saves its last step"
        return self.checkpoints.restore(best, self.trainer.state).state.variables


@contextlib.contextmanager
def start_run(config: ConfigDict, workdir: Path) -> Iterator[Run]:
    """Loads the data, builds the network and restores the newest checkpoint in `workdir`.

    On leaving, everything is closed, after the last checkpoint has been written.

    Raises:
        UserError: for a field that is not valid, data or weights that are not where the config
            says, or a `workdir` that holds a run of another config or is in use.
    """
    setup.check_config(config)
    first = multihost.is_first()
    with contextlib.ExitStack() as stack:
        if first:
            stack.enter_context(locked(workdir))
        with multihost.first_process_first("data"):
            source = setup.open_source(config, config.train_split)
        config = setup.with_categories(config, source)
        network = setup.training_network(config)
        variables = starting_variables(config, network)
        with multihost.first_process_first("feature cache"):
            cache = setup.open_cache(config, source, variables)
        batches = stack.enter_context(contextlib.closing(setup.make_batches(config, source, cache)))
        validation = setup.make_validation(config, config.val_split, variables) if first else None
        if first and config.test_split:
            setup.open_source(config, config.test_split)  # what is missing is found before training
        optimizer = make_optimizer(config)
        state = initial_state(variables, optimizer, averaged=config.optimizer.ema_decay > 0)
        checkpoints = None
        if first:
            checkpoints = stack.enter_context(contextlib.closing(Checkpoints(workdir)))
        state = resume(config, workdir, checkpoints, state, batches)
        trainer = Trainer(network, config, optimizer, state)
        start = int(state.step)
        log = RunLog(
            workdir,
            start=start,
            steps=config.steps,
            images_per_step=config.groups_per_step * config.group_size,
            active=first,
        )
        stack.enter_context(contextlib.closing(log))
        count = parameter_count(variables)
        log.say(f"{count:,} parameters on {jax.device_count()} device(s), in {workdir}")
        yield Run(config, trainer, batches, log, start, validation, checkpoints)


def resume(
    config: ConfigDict,
    workdir: Path,
    checkpoints: Checkpoints | None,
    state: TrainState,
    batches: Batches,
) -> TrainState:
    """The state of the newest checkpoint, to which `batches` are set; else `state` as it is."""
    restored = None
    if checkpoints:
        restored = checkpoints.restore_newest(
            state, lambda saved: check_same_run(saved, config, workdir)
        )
    if restored:
        print(f"goes on from step {int(restored.state.step)} in {workdir}")
    next_step = np.asarray(restored.data_state["next_step"] if restored else 0)
    next_step = int(multihost.from_first(next_step))
    batches.set_state(json.dumps({"next_step": next_step}).encode())
    return multihost.from_first(restored.state if restored else state)


def check_same_run(saved: ConfigDict, given: ConfigDict, workdir: Path) -> None:
    """Raises a UserError that lists the differences, unless the run may go on."""
    if found := differences(saved, given):
        raise UserError(
            f"{workdir} holds a run of another config ({'; '.join(found)}); "
            "name another --workdir, or give the run's own config to go on with it"
        )


def differences(saved: ConfigDict, given: ConfigDict) -> list[str]:
    """The fields, besides `FREE_FIELDS`, in which two configs differ, with both values."""
    before, now = _comparable(saved), _comparable(given)
    return [
        f"{name}: {before.get(name, 'absent')!r} in the run, {now.get(name, 'absent')!r} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in FREE_FIELDS
    ]


def _comparable(config: ConfigDict) -> dict[str, Any]:
    return flat_fields(ConfigDict(json.loads(config.to_json_best_effort())))
