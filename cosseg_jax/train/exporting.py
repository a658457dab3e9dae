"""Exports the network of a finished run, whole or not at all; the same command may be repeated."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.predict.exported import CONFIG_FILE, export, load_config, load_variables
from cosseg_jax.train.run import differences
from cosseg_jax.train.second_head import take_over


def check_target(folder: Path, config: ConfigDict) -> None:
    """Checks, before training, that a run with this config may export to the folder.

    Raises:
        UserError: if the folder cannot be made, or holds something else than an export of the run.
    """
    if not folder.exists():
        try:
            folder.mkdir(parents=True)
            folder.rmdir()
        except OSError as error:
            raise UserError(f"cannot write into {folder}: {error.strerror}") from error
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / CONFIG_FILE).is_file()):
        raise UserError(f"{folder} exists and is not an empty folder; name a new one for --export")
    if (folder / CONFIG_FILE).is_file():
        _check_config(folder, load_config(folder), config)


def export_run(
    folder: Path, config: ConfigDict, variables: Mapping[str, Any], *, half: bool = False
) -> str:
    """Exports a run's network, unless the folder already holds it; returns a line about it.

    It is written beside the folder and renamed when it is complete; what a killed export has left
    there is replaced.

    Raises:
        UserError: if it cannot be written, or the folder holds something else.
    """
    if (folder / CONFIG_FILE).is_file():
        _check_variables(folder, variables)
        return f"{folder} already holds this network"
    folder = folder.absolute()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        export(unfinished, config, variables, half=half)
        added = take_over(unfinished, config, variables)
        if folder.exists():
            folder.rmdir()  # it is empty
        unfinished.rename(folder)
    except (OSError, ValueError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise UserError(f"cannot export to {folder}: {error}") from error
    return f"exported to {folder}{added}"


def _check_config(folder: Path, exported: ConfigDict, config: ConfigDict) -> None:
    given = config.copy_and_resolve_references()
    with given.unlocked():
        given.categories = exported.categories  # which the run does not know yet
    found = differences(exported, given)
    if exported.steps != config.steps:
        found.append(f"steps: {exported.steps} in the export, {config.steps} now")
    if found:
        raise UserError(
            f"{folder} holds the network of another run ({'; '.join(found)}); name a new folder "
            "for --export"
        )


def _check_variables(folder: Path, variables: Mapping[str, Any]) -> None:
    exported = load_variables(folder, variables)
    if not jax.tree.all(jax.tree.map(_same, exported, dict(variables))):
        raise UserError(
            f"{folder} holds the network of another run, with other parameters; name a new folder "
            "for --export"
        )


def _same(exported: np.ndarray, x: np.ndarray) -> bool:
    """Whether an exported array is this one, in full or in half precision."""
    if np.array_equal(exported, x):
        return True
    with np.errstate(over="ignore"):
        return np.array_equal(exported, np.asarray(x).astype(np.float16).astype(x.dtype))
