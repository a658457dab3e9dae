"""Trains the network: python train.py --config configs/hrnet.py [--workdir DIR] [--config.x=y].

The same command continues a run that was stopped. If the run has finished, the command only exports
the network, if `--export` is given.
"""

import contextlib
import json
import math
import signal
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from cosseg_jax import program
from cosseg_jax.predict.exported import check_export_folder, export
from cosseg_jax.train import setup
from cosseg_jax.train.logging import Journal, mean_of
from cosseg_jax.train.step import TrainState, first_replica

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/.", lock_config=True)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The run's folder: checkpoints, metrics, pictures. Default: runs/<config>."
)
EXPORT = flags.DEFINE_string(
    "export", None, "A new folder for the best parameters and the config, for evaluation."
)
HALF = flags.DEFINE_bool("half", False, "Export kernels in half precision: half the room.")
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, where several processes train together."
)
PROCESS_COUNT = flags.DEFINE_integer("process_count", None, "Of how many processes, with it.")
PROCESS_INDEX = flags.DEFINE_integer("process_index", None, "Which of them this is, from 0.")


class Outcome(NamedTuple):
    """How a call of `train_and_evaluate` ended.

    config: the given one, with the names of the categories.
    state: the parameters and all else at the last step made.
    finished: False if it was stopped before `config.steps`.
    """

    config: ConfigDict
    state: TrainState
    finished: bool


def train_and_evaluate(config: ConfigDict, workdir: Path) -> Outcome:
    """Trains to `config.steps`, from the newest checkpoint in `workdir` if there is one.

    Raises:
        ValueError: for a field that is not valid, or a `workdir` of another config.
        FloatingPointError: if a loss is not finite; the last good checkpoint is left.
    """
    run = setup.prepare(config, workdir)
    with (
        contextlib.closing(run.checkpoints),
        contextlib.closing(run.batches),
        contextlib.closing(setup.open_journal(run, workdir)) as journal,
        StopSignal() as stop,
    ):
        step, recent = run.start, Recent(journal)
        while step < config.steps and not stop.asked:
            recent.add(run.trainer.step(next(run.batches)))
            step += 1
            last = step == config.steps
            if last or step % config.log_every == 0:
                recent.note(step)
            if last or step % config.eval_every == 0:
                recent.note(step)
                save(run, validate(run, journal))
            elif step % config.checkpoint_every == 0:
                recent.note(step)
                save(run)
        recent.note(step)
        save(run)
        state = run.trainer.state
    return Outcome(run.config, state, finished=step >= config.steps)


def validate(run: setup.Run, journal: Journal) -> dict[str, float]:
    """Scores and draws validation groups; returns the scores."""
    state = run.trainer.state
    step, validation = int(state.step), run.validation
    scores = validation.scores(state.variables)
    journal.note(step, "val", scores)
    journal.say(f"step {step}: validation J {scores['J']:.1f}, P {scores['P']:.1f}")
    if run.config.preview_groups:
        journal.picture(step, "val", validation.pictures(state.variables))
    return scores


def save(run: setup.Run, scores: dict[str, float] | None = None) -> None:
    """Begins to save the run as it stands."""
    data_state = json.loads(run.batches.get_state())
    run.checkpoints.save(run.trainer.state, data_state, run.config, scores)


class Recent:
    """The metrics of the steps since they were last written down."""

    def __init__(self, journal: Journal):
        self._journal = journal
        self._steps: list[dict[str, Any]] = []

    def add(self, metrics: dict[str, Any]) -> None:
        """Takes the metrics of one more step, still on the devices."""
        self._steps.append(metrics)
        self._journal.advance()

    def note(self, step: int) -> None:
        """Writes down the means of the steps up to `step`.

        Raises:
            FloatingPointError: if a loss or gradient among them is not finite; names the step.
        """
        if not self._steps:
            return
        steps = [
            {name: float(value) for name, value in first_replica(metrics).items()}
            for metrics in self._steps
        ]
        first = step - len(steps) + 1
        self._steps.clear()
        for number, metrics in enumerate(steps, start=first):
            bad = [name for name, value in metrics.items() if not math.isfinite(value)]
            if bad:
                raise FloatingPointError(
                    f"step {number}: {', '.join(bad)} not finite; stopped, with the last good "
                    "checkpoint kept. Lower optimizer.learning_rate or set optimizer.clip_norm"
                )
        means = mean_of(steps)
        self._journal.note(step, "train", means)
        self._journal.show({"loss": means["loss"], "J": means["J"]})


class StopSignal:
    """Turns SIGINT and SIGTERM into a request to stop after the step under way."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        self.asked = True
        signal.signal(number, self._before[signal.Signals(number)])  # a second one ends at once


def main(_: list[str]) -> None:
    """Trains, scores the held-out split if the config names one, and exports if asked."""
    config = CONFIG.value
    start = time.time()
    join_processes()
    workdir = Path(WORKDIR.value or Path("runs") / config_name())
    if EXPORT.value:
        check_export_folder(Path(EXPORT.value))
    outcome = train_and_evaluate(config, workdir)
    if not outcome.finished:
        print(f"stopped at step {int(outcome.state.step)}; the same command goes on from there")
        return
    variables = setup.best_variables(outcome.config, workdir)
    if config.test_split:
        print(setup.test_report(outcome.config, variables))
    if EXPORT.value and jax.process_index() == 0:
        export(Path(EXPORT.value), outcome.config, variables, half=HALF.value)
        print(f"exported to {EXPORT.value}")
    print(f"done in {(time.time() - start) / 60:.1f} minutes; see {workdir}")


def config_name() -> str:
    """The name of the config's file, after which the default workdir is called."""
    return Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem


def join_processes() -> None:
    """Joins the other processes of a run of several, if the flags name them."""
    if COORDINATOR.value:
        jax.distributed.initialize(COORDINATOR.value, PROCESS_COUNT.value, PROCESS_INDEX.value)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    program.run(main)
