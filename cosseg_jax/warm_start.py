"""Begins a run with the variables of an exported network, to fine-tune it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax.exports import load_exported

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
