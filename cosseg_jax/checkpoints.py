"""Checkpoints of a run, and exported networks; both through Orbax.

A run keeps its latest checkpoint and its best by validation J under `WORKDIR/checkpoints`, each
with the train state, the state of the data stream and the config. An export holds the parameters,
the batch statistics and the config, which is all that evaluation and prediction need:

    DIR/config.json     the run's config, with the names of its categories
    DIR/variables/      params and batch_stats
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.tree_util import keystr, tree_flatten_with_path
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers as policies

from cosseg_jax.models.ssnm import from_config
from cosseg_jax.training import TrainState, initial_variables

CONFIG_FILE = "config.json"
UNSCORED = -1.0  # in the place of J, of checkpoints between validations
VARIABLES = "variables"


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


def check_export_folder(folder: Path) -> None:
    """Raises FileExistsError if an export to `folder` would touch what is already there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} exists and is not an empty folder; name a new folder to export to"
        )


def export(folder: Path, config: ConfigDict, variables: Mapping[str, Any]) -> None:
    """Writes a network's variables and config to a new folder, whole or not at all.

    Of several processes, one calls it.

    Raises:
        FileExistsError: if the folder holds anything.
    """
    folder = folder.absolute()
    check_export_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    here = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=here, active_processes={here})
    with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
        checkpointer.save(folder / VARIABLES, dict(variables))
    # Written last: a folder without it does not count as an export.
    (folder / CONFIG_FILE).write_text(json.dumps(config.to_dict(), indent=1, default=list))


def load_exported(folder: str | Path) -> tuple[ConfigDict, dict[str, Any]]:
    """The config (its `categories` included) and the variables of an exported network.

    Raises:
        FileNotFoundError: if the folder is not an export.
        ValueError: if its variables are not those of the network that its config describes.
    """
    folder = Path(folder)
    config = load_config(folder)
    network = from_config(config.model, len(config.categories))
    like = jax.eval_shape(lambda: initial_variables(network, seed=0))
    return config, load_variables(folder, like)


def load_config(folder: Path) -> ConfigDict:
    """The config of an exported network, its `categories` included.

    Raises:
        FileNotFoundError: if the folder is not an export.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        is_run = (folder / "checkpoints").is_dir()
        hint = (
            "it is the folder of a training run: export its best checkpoint with "
            f"train.py --config ... --workdir {folder} --export DIR, and name that DIR"
            if is_run
            else "expected a folder written by train.py --export DIR"
        )
        raise FileNotFoundError(f"no checkpoint in {folder}: it holds no {CONFIG_FILE}; {hint}")
    try:
        return ConfigDict(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); export the run again") from error


def load_variables(folder: Path, like: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of an exported network, as numpy arrays.

    Args:
        folder: written by `export`.
        like: variables (or their shapes and types) of the network that its config describes.

    Raises:
        FileNotFoundError: if the folder holds no variables.
        ValueError: if names or shapes are not those of `like`; lists the differences.
    """
    path = (folder / VARIABLES).absolute()
    if not path.is_dir():
        raise FileNotFoundError(f"no checkpoint in {folder}: it holds no {VARIABLES}/ folder")
    with ocp.StandardCheckpointer() as checkpointer:
        found = _shapes(checkpointer.metadata(path).item_metadata.tree)
        _check_same(folder, found, _shapes(like))
        target = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), dict(like))
        return checkpointer.restore(path, target)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves, _ = tree_flatten_with_path(tree)
    return {keystr(path, simple=True, separator="/"): tuple(x.shape) for path, x in leaves}


def _check_same(
    folder: Path, found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]
) -> None:
    lines = [f"  - {name}: not in the checkpoint" for name in expected.keys() - found.keys()]
    lines += [f"  + {name}: not in the network" for name in found.keys() - expected.keys()]
    lines += [
        f"  ! {name}: {found[name]} in the checkpoint, {expected[name]} in the network"
        for name in expected.keys() & found.keys()
        if expected[name] != found[name]
    ]
    if lines:
        listed = "\n".join(sorted(lines))
        raise ValueError(
            f"the variables in {folder} are not those of the network that its {CONFIG_FILE} "
            f"describes:\n{listed}\nExport the run again, or undo the change to {CONFIG_FILE}"
        )
