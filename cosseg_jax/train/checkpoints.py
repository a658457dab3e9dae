"""Checkpoints of a run, through Orbax.

A run keeps its latest checkpoint and its best by validation J under `WORKDIR/checkpoints`, each
with the train state, the state of the data stream and the config.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from cosseg_jax.train.step import TrainState

UNSCORED = -1.0  # in the place of J, of checkpoints between validations


class Restored(NamedTuple):
    """A run as it stood when it was saved."""

    state: TrainState
    data_state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, saved in the background; a kill in mid-save corrupts none."""

    def __init__(self, workdir: Path):
        self.folder = (workdir / "checkpoints").absolute()
        keep = policies.AnyPreservationPolicy(
            [
                policies.LatestN(1),
                policies.BestN(get_metric_fn=lambda metrics: metrics["J"], n=1),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=keep, best_fn=lambda metrics: metrics["J"], best_mode="max"
        )
        names = ("state", "data", "config")
        self._manager = ocp.CheckpointManager(self.folder, options=options, item_names=names)

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """The step of the checkpoint with the highest validation J, or None."""
        return self._manager.best_step()

    def save(
        self,
        state: TrainState,
        data_state: dict[str, Any],
        config: ConfigDict,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Begins to save a state, under its step; `metrics` are those of a validation, with J."""
        step = int(state.step)
        if step == self.latest:
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state._asdict()),
                data=ocp.args.JsonSave(data_state),
                config=ocp.args.JsonSave(json.loads(config.to_json_best_effort())),
            ),
            metrics=dict(metrics or {"J": UNSCORED}),
        )

    def config_of(self, step: int) -> ConfigDict:
        """The config with which the checkpoint at `step` was made."""
        args = ocp.args.Composite(config=ocp.args.JsonRestore())
        return ConfigDict(self._manager.restore(step, args=args).config)

    def restore(self, step: int, like: TrainState) -> Restored:
        """The checkpoint at `step`; `like` gives the structure, shapes and types of its state."""
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(like._asdict()),
                data=ocp.args.JsonRestore(),
            ),
        )
        state = TrainState(**restored.state)
        return Restored(state, restored.data)

    def close(self) -> None:
        """Waits until all is saved."""
        self._manager.wait_until_finished()
        self._manager.close()
