"""Checkpoints of a run, through Orbax.

WORKDIR/checkpoints/<step>/state    the train state
WORKDIR/checkpoints/<step>/record   JSON: the place in the data stream, config, J, checksum

A run keeps its two newest checkpoints and its best by validation J. Orbax writes a checkpoint in
the background under another name and renames it when it is complete, so that a kill or a full disk
never leaves half of one under its step. The checksum tells of damage that happens later.
"""

import json
import logging
import math
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.train.step import TrainState

NEWEST_KEPT = 2
STATE, RECORD = "state", "record"
DAMAGED = "damaged_checkpoints"  # where a checkpoint goes that cannot be read
UNFINISHED = ("*.orbax-checkpoint-tmp*", "*.removed")
UNREADABLE = (ValueError, KeyError, TypeError, OSError)  # what Orbax raises for damaged files


class Restored(NamedTuple):
    """A run as it stood when it was saved."""

    state: TrainState
    data_state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, which one process reads and writes."""

    def __init__(self, workdir: Path):
        self.folder = (workdir / "checkpoints").absolute()
        self._damaged = workdir / DAMAGED
        self._saving: int | None = None
        self._saver = _saver_of_one_process()
        absl_logging.get_absl_logger().addFilter(_without_tracebacks)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for pattern in UNFINISHED:  # left by a kill
                for path in self.folder.glob(pattern):
                    shutil.rmtree(path)
        except OSError as error:
            raise UserError(f"cannot write into {self.folder}: {error.strerror}") from error

    @property
    def steps(self) -> list[int]:
        """The steps of all complete checkpoints, ascending."""
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return max(self.steps, default=None)

    @property
    def best(self) -> int | None:
        """The step with the highest validation J; without any validation, the newest."""
        scored = {step: self._score(step) for step in self.steps}
        return max(scored, key=lambda step: (scored[step], step), default=None)

    def save(
        self,
        state: TrainState,
        data_state: dict[str, Any],
        config: ConfigDict,
        scores: Mapping[str, float] | None = None,
    ) -> None:
        """Starts to save a state under its step; `scores` are those of its validation, if any.

        Raises:
            UserError: if this or the save before has failed.
        """
        self.wait()
        self._saving = int(state.step)
        if self._saving in self.steps:
            return
        record: dict[str, Any] = {
            "data_state": data_state,
            "config": json.loads(config.to_json_best_effort()),
            "J": None if scores is None else scores["J"],
        }
        record["checksum"] = _checksum(state, record)
        items = ocp.args.Composite(
            **{
                STATE: ocp.args.StandardSave(state._asdict()),
                RECORD: ocp.args.JsonSave(record),
            }
        )
        self._checked(lambda: self._saver.save(self.folder / str(self._saving), items))

    def check(self) -> None:
        """Raises a UserError if a save in the background has failed."""
        self._checked(self._saver.check_for_errors)

    def wait(self) -> None:
        """Waits for the save under way and removes old checkpoints; raises as `check` does."""
        self._checked(self._saver.wait_until_finished)
        for step in set(self.steps[:-NEWEST_KEPT]) - {self.best}:
            removed = self.folder / f"{step}.removed"  # no half of it is left under its step
            shutil.rmtree((self.folder / str(step)).rename(removed))

    def restore(self, step: int, like: TrainState) -> Restored:
        """The checkpoint at `step`; `like` gives the structure, shapes and types of its state.

        Raises:
            UserError: if it cannot be read.
        """
        try:
            return self._restore(step, like)
        except UNREADABLE as error:
            raise UserError(f"{self._reason(step, error)}; remove that folder") from error

    def restore_newest(
        self, like: TrainState, check_config: Callable[[ConfigDict], None]
    ) -> Restored | None:
        """The newest checkpoint that can be read, or None if there has never been any.

        Newer ones that cannot be read are moved to `WORKDIR/damaged_checkpoints`, and printed.

        Raises:
            UserError: by `check_config`, which gets the config of the checkpoint, or if there are
                checkpoints and none of them can be read.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps):
            try:
                check_config(ConfigDict(self._record(step)["config"]))
                restored = self._restore(step, like)
            except UserError:
                raise
            except UNREADABLE as error:
                damaged[step] = self._reason(step, error)
                continue
            for bad, reason in damaged.items():
                self._set_aside(bad)
                print(f"{reason}; moved to {self._damaged}")
            return restored
        if damaged:
            reasons = "; ".join(damaged.values())
            raise UserError(f"{reasons}. Remove {self.folder} to start again, or name a --workdir")
        return None

    def close(self) -> None:
        """Waits until all is saved; raises as `check` does."""
        try:
            self.wait()
        finally:
            self._saver.close()

    def _restore(self, step: int, like: TrainState) -> Restored:
        record = self._record(step)
        items = ocp.args.Composite(**{STATE: ocp.args.StandardRestore(like._asdict())})
        state = TrainState(**self._saver.restore(self.folder / str(step), items)[STATE])
        if record.pop("checksum") != _checksum(state, record):
            raise ValueError("its content does not fit its checksum")
        return Restored(state, record["data_state"])

    def _record(self, step: int) -> dict[str, Any]:
        items = ocp.args.Composite(**{RECORD: ocp.args.JsonRestore()})
        return dict(self._saver.restore(self.folder / str(step), items)[RECORD])

    def _score(self, step: int) -> float:
        try:
            score = self._record(step)["J"]
        except UNREADABLE:
            return -math.inf
        return -math.inf if score is None else score

    def _checked(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except (ValueError, OSError) as error:
            raise UserError(
                f"the checkpoint of step {self._saving} could not be saved in {self.folder}: "
                f"{_short(error)}. The run has stopped; the same command goes on from step "
                f"{self.latest or 0}"
            ) from error

    def _reason(self, step: int, error: Exception) -> str:
        return f"the checkpoint {self.folder / str(step)} cannot be read ({_short(error)})"

    def _set_aside(self, step: int) -> None:
        self._damaged.mkdir(exist_ok=True)
        target = self._damaged / str(step)
        shutil.rmtree(target, ignore_errors=True)
        (self.folder / str(step)).rename(target)


def _saver_of_one_process() -> ocp.AsyncCheckpointer:
    """Orbax's checkpointer, which waits for no other process."""
    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})
    handlers: dict[str, ocp.CheckpointHandler] = {
        STATE: ocp.StandardCheckpointHandler(multiprocessing_options=alone),
        RECORD: ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    options = ocp.CompositeOptions(multiprocessing_options=alone)
    both = ocp.CompositeCheckpointHandler(composite_options=options, **handlers)
    return ocp.AsyncCheckpointer(both, multiprocessing_options=alone)


def _checksum(state: TrainState, record: Mapping[str, Any]) -> int:
    """CRC-32 of all that a checkpoint holds."""
    found = zlib.crc32(json.dumps(record, sort_keys=True).encode())
    for leaf in jax.tree.leaves(state):
        found = zlib.crc32(np.asarray(leaf).tobytes(), found)
    return found


def _short(error: Exception) -> str:
    """The end of a message, which tells the cause; TensorStore names every layer before it."""
    text = str(error).strip() or type(error).__name__
    return ": ".join(text.splitlines()[0].split(": ")[-2:])[-200:]


def _without_tracebacks(record: logging.LogRecord) -> bool:
    """Drops what Orbax logs of a failed save, which `Checkpoints` raises itself."""
    return "orbax" not in record.pathname or record.levelno < logging.ERROR
