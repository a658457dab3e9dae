"""A network as one safetensors file: its variables by name, and its config in the header.

Such a file can be put on a hub and is read without Orbax. Names are paths of variables, such as
`params/backbone/conv1/kernel`. Two entries of the header's metadata are ours: `format`, which is
always FORMAT, and `config`, the JSON of the network's config with its categories.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import save

from cosseg_jax.errors import UserError
from cosseg_jax.models.pretrained.safetensors_files import (
    SAFETENSORS_SUFFIX,
    read_header,
    read_safetensors,
)

FORMAT = "cosseg_jax 1"


def is_single_file(path: Path) -> bool:
    """Whether a path names a network in one file, rather than the folder of an export."""
    return path.suffix == SAFETENSORS_SUFFIX and not path.is_dir()


def encode(config: str, variables: Mapping[str, Any]) -> bytes:
    """The content of the file.

    config: JSON.
    """
    flat: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    arrays = {  # np.ascontiguousarray makes a scalar a vector
        name: np.ascontiguousarray(array).reshape(array.shape) for name, array in flat.items()
    }
    return save(arrays, {"format": FORMAT, "config": config})


def config_in(path: Path) -> str:
    """The JSON of the config. Raises UserError where the file is no network of this package."""
    metadata = read_header(path).metadata
    if metadata.get("format") != FORMAT or "config" not in metadata:
        raise UserError(
            f"{path} is no exported network: its header has no config of {FORMAT!r}; write one "
            "with cosseg export --format safetensors, or name other weights as model.pretrained"
        )
    return metadata["config"]


def leaves_in(path: Path) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes and types of the variables as they are in the file, by name; reads none of them."""
    return read_header(path).leaves


def variables_in(path: Path, like: Mapping[str, Any]) -> dict[str, Any]:
    """The variables in the types and the structure of `like`; the file must have its names."""
    found = read_safetensors(path)
    wanted: dict[str, Any] = flatten_dict(dict(like), sep="/")
    arrays = {name: found.pop(name).astype(leaf.dtype) for name, leaf in wanted.items()}
    return dict(like) | unflatten_dict(arrays, sep="/")
