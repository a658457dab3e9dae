"""The four networks of table 5: their modulators and the folders of their exports."""

import json
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from cosseg_jax.errors import MissingFileError, UserError, check_choice
from cosseg_jax.predict.exported import CONFIG_FILE, load_config


class Variant(NamedTuple):
    """The fields of a config's `model` that a variant sets."""

    use_spatial: bool
    use_semantic: bool


VARIANTS = {
    "full": Variant(True, True),
    "no_spatial": Variant(False, True),
    "no_semantic": Variant(True, False),
    "neither": Variant(False, False),
}


def set_variant(config: ConfigDict, name: str) -> ConfigDict:
    """Turns the modulators of a config on or off. Raises a UserError for an unknown variant."""
    check_choice("variant", name, VARIANTS)
    config.model.update(VARIANTS[name]._asdict())
    if not config.model.use_semantic:
        config.model.num_iterations = 1  # there is no gamma to compute again
    return config


def find_exports(folder: Path) -> dict[str, Path]:
    """The exported networks folder/full, folder/no_spatial and so on, by variant.

    Raises:
        MissingFileError: if some are missing; the message has the commands that make them.
        UserError: if a network is not the variant that its folder is named after.
    """
    exports = {name: folder / name for name in VARIANTS}
    missing = [name for name, path in exports.items() if not (path / CONFIG_FILE).is_file()]
    if missing:
        commands = "; ".join(
            f"python train.py --config configs/ablation.py:{name} --workdir {folder}-runs/{name} "
            f"--export {exports[name]}"
            for name in missing
        )
        raise MissingFileError(
            f"{folder} lacks the exported {', '.join(missing)}; table 5 needs all of "
            f"{', '.join(VARIANTS)}. Train them (--config.data_dir is the folder of the data): "
            f"{commands}"
        )
    for name, path in exports.items():
        _check_variant(path, name)
    return exports


def differing_fields(exports: dict[str, Path]) -> list[str]:
    """Lines that state where the networks' configs differ, other than in the modulators."""
    configs = {name: _compared_fields(load_config(path)) for name, path in exports.items()}
    first, *others = configs
    return [
        f"{name} was trained with {field} = {json.dumps(configs[name].get(field))}, "
        f"{first} with {json.dumps(configs[first].get(field))}"
        for name in others
        for field in sorted(configs[first].keys() | configs[name].keys())
        if configs[name].get(field) != configs[first].get(field)
    ]


def _check_variant(path: Path, name: str) -> None:
    model = load_config(path).model
    found = Variant(model.use_spatial, model.use_semantic)
    if found != VARIANTS[name]:
        listed = ", ".join(f"model.{field} = {value}" for field, value in found._asdict().items())
        others = [other for other, variant in VARIANTS.items() if variant == found]
        raise UserError(
            f"{path} holds a network with {listed}, which is {others[0]!r}, not {name!r}; rename "
            "the folder, or train and export the right network"
        )


def _compared_fields(config: ConfigDict) -> dict[str, object]:
    """A config's fields by dotted name, without folders and what a variant sets."""
    fields: dict[str, object] = {}

    def add(part: dict[str, object], prefix: str) -> None:
        for name, value in part.items():
            if isinstance(value, dict):
                add(value, f"{prefix}{name}.")
            elif name not in (*Variant._fields, "num_iterations", "data_dir", "cache_dir"):
                fields[prefix + name] = value

    add(json.loads(config.to_json_best_effort()), "")
    return fields
