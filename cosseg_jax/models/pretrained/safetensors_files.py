"""Reads safetensors files: arrays by name behind a JSON header, in which no code can be.

The format is described at https://github.com/huggingface/safetensors; the package of that name
checks sizes and offsets before anything is read.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from cosseg_jax.errors import MissingFileError, UserError

SAFETENSORS_SUFFIX = ".safetensors"
FILE_DTYPES: dict[str, Any] = {
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F32": np.float32,
    "F64": np.float64,
    "I32": np.int32,
    "I64": np.int64,
}


class Header(NamedTuple):
    """What a file says before its arrays.

    metadata: texts by name, which whoever wrote the file has added.
    leaves: the shape and type of every array, by name.
    """

    metadata: dict[str, str]
    leaves: dict[str, jax.ShapeDtypeStruct]


def read_header(path: Path) -> Header:
    """The header of a file, without reading any array; raises as `read_safetensors`."""
    with _opened(path) as file:
        leaves = {name: _leaf(path, file, name) for name in list(file.keys())}
        return Header(dict(file.metadata() or {}), leaves)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by name.

    Raises:
        MissingFileError: if there is no file at `path`.
        UserError: for a file that cannot be read, is cut off, or holds a type that is no weight's.
    """
    with _opened(path) as file:
        names = list(file.keys())
        for name in names:
            _leaf(path, file, name)  # types are checked before the first array is read
        return {name: file.get_tensor(name) for name in names}


def parse_safetensors(content: bytes, name: str) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The metadata and the arrays of a file's content.

    Raises UserError, naming `name`, for what is no such file.
    """
    try:
        arrays = load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{name} cannot be read as a safetensors file: {error}") from error
    return metadata, arrays


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise MissingFileError(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read as a safetensors file: {error}") from error


def _leaf(path: Path, file: Any, name: str) -> jax.ShapeDtypeStruct:
    part = file.get_slice(name)
    if part.get_dtype() not in FILE_DTYPES:
        raise UserError(
            f"{path}: {name} has the type {part.get_dtype()}; "
            f"expected one of {', '.join(FILE_DTYPES)}"
        )
    return jax.ShapeDtypeStruct(tuple(part.get_shape()), FILE_DTYPES[part.get_dtype()])
