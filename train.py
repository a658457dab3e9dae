"""Trains the network: python train.py --config configs/hrnet.py [--workdir DIR] [--config.x=y]

The same command continues a run that was stopped. If the run has finished, the command only exports
the network, if `--export` is given. Wrong input exits with status 2.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from cosseg_jax import program

if __name__ == "__main__":
    program.exit_on_interrupt()  # before JAX is imported, which takes seconds

from cosseg_jax.train import multihost
from cosseg_jax.train.exporting import check_target, export_run
from cosseg_jax.train.logging import MetricsBuffer
from cosseg_jax.train.run import start_run
from cosseg_jax.train.setup import test_report
from cosseg_jax.train.step import TrainState
from cosseg_jax.train.stopping import StopSignal

CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/.", lock_config=True)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run: checkpoints, metrics, previews. Default: runs/<config>."
)
EXPORT_DIR = flags.DEFINE_string(
    "export", None, "New folder for the best parameters and the config, to evaluate and to use."
)
HALF = flags.DEFINE_bool("half", False, "Export kernels in half precision: half the size.")
COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of the first process, if several processes train together."
)
PROCESS_COUNT = flags.DEFINE_integer("process_count", None, "Number of these processes.")
PROCESS_INDEX = flags.DEFINE_integer("process_index", None, "Number of this process, from 0.")


class TrainingResult(NamedTuple):
    """How a call of `train_and_evaluate` ended.

    config: the given one, with the names of the categories.
    state: the state after the last step.
    best: the variables of the best checkpoint by validation, or None if the run was stopped before
        `config.steps`.
    """

    config: ConfigDict
    state: TrainState
    best: dict[str, Any] | None


def train_and_evaluate(config: ConfigDict, workdir: Path) -> TrainingResult:
    """Trains to `config.steps`, from the newest checkpoint in `workdir` if there is one.

    Raises:
        UserError: for a field that is not valid, or a `workdir` of another config or in use.
        NotFiniteError: if a loss is not finite; the last good checkpoint is kept.
    """
    with start_run(config, workdir) as run, StopSignal(config.log_every) as stop:
        step, metrics = run.start, MetricsBuffer(run.log)
        while step < config.steps and not stop.at(step):
            metrics.add(run.trainer.step(next(run.batches)))
            step += 1
            last = step == config.steps
            validating = last or step % config.eval_every == 0
            saving = validating or step % config.checkpoint_every == 0
            if saving or step % config.log_every == 0:
                metrics.write(step)  # stops the run before a state that is not finite is saved
                run.check_saved()
            if saving:
                run.save(run.validate() if validating else None)
        metrics.write(step)
        run.save()
        best = run.best_variables() if step >= config.steps else None
        return TrainingResult(run.config, run.trainer.state, best)


def main(_: list[str]) -> None:
    """Trains, scores the test split if the config names one, and exports if asked."""
    config, start = CONFIG.value, time.time()
    multihost.join(COORDINATOR.value, PROCESS_COUNT.value, PROCESS_INDEX.value)
    workdir = Path(WORKDIR.value or Path("runs") / config_name())
    if EXPORT_DIR.value and multihost.is_first():
        check_target(Path(EXPORT_DIR.value), config)
    outcome = train_and_evaluate(config, workdir)
    if multihost.is_first():
        finish(outcome)
        print(f"done in {(time.time() - start) / 60:.1f} minutes; see {workdir}")
    multihost.wait_for_all("the end")


def finish(outcome: TrainingResult) -> None:
    """Scores and exports a run that is finished."""
    if outcome.best is None:
        print(f"stopped at step {int(outcome.state.step)}; the same command goes on from there")
        return
    if outcome.config.test_split:
        print(test_report(outcome.config, outcome.best))
    if EXPORT_DIR.value:
        print(export_run(Path(EXPORT_DIR.value), outcome.config, outcome.best, half=HALF.value))


def config_name() -> str:
    """The name of the config's file without suffix, which also names the default workdir."""
    return Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    program.run(main)
