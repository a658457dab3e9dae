"""The variables with which a run starts: fresh, ImageNet's backbone, or an exported network's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.ssnm import SSNM, initial_variables
from cosseg_jax.predict.exported import load_exported

SHIPPED = "shipped"  # instead of a folder: the network that comes with the package
AID = "params/category/"
MODULATORS = ("params/fusion/", "params/semantic/")
# Parts that tell the training set's categories apart, and start anew for other categories.
CLASS_HEADS = ("params/semantic/classify/", AID)
MOST_NAMED = 10  # differing arrays in an error message


def starting_variables(config: ConfigDict, network: SSNM) -> dict[str, Any]:
    """Fresh variables, of which `start_from` or `model.pretrained` replace some.

    Raises:
        UserError: if these name something else than fitting weights.
    """
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


def warm_start(
    folder: str | Path, fresh: Mapping[str, Any], categories: Sequence[str]
) -> dict[str, Any]:
    """The variables of an exported network, for a run that fine-tunes it.

    The category head, a training aid, starts anew if the export has none, and is left out if the
    run has none. So are modulators that the run has turned off.

    Args:
        folder: written by `train.py --export`, or "shipped".
        fresh: variables of the run's network; its class heads keep them if the categories differ.
        categories: names of the run's categories.

    Raises:
        MissingFileError: if the folder is not an export.
        UserError: if its network is not the run's; lists names and shapes.
    """
    shipped = str(folder) == SHIPPED
    config, variables = load_exported(None if shipped else Path(folder).expanduser())
    found: dict[str, Any] = flatten_dict(variables, sep="/")
    wanted: dict[str, Any] = flatten_dict(dict(fresh), sep="/")
    anew = CLASS_HEADS if list(config.categories) != list(categories) else ()
    off = [part for part in (AID, *MODULATORS) if not any(name.startswith(part) for name in wanted)]
    found = {name: x for name, x in found.items() if not name.startswith((*anew, *off))}
    kept = {name: x for name, x in wanted.items() if name.startswith((*anew, AID))}
    found = kept | found
    _check_shapes(folder, found, wanted)
    return dict(fresh) | unflatten_dict({name: found[name] for name in wanted}, sep="/")


def _check_shapes(folder: str | Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = [
        f"{name}: {_shape(found, name)} in the export, {_shape(wanted, name)} in the run"
        for name in sorted(found.keys() | wanted.keys())
        if _shape(found, name) != _shape(wanted, name)
    ]
    if differing:
        more = "; ..." if len(differing) > MOST_NAMED else ""
        raise UserError(
            f"start_from names {folder}, whose network is not the run's; give both the same "
            f"model fields: {'; '.join(differing[:MOST_NAMED])}{more}"
        )


def _shape(variables: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(variables[name].shape) if name in variables else None
