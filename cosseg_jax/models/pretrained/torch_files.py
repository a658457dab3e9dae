"""Reads the tensors in PyTorch's files without PyTorch, and without running any code in them.

Such a file is a pickle, and a pickle can call anything. The unpickler accepts only a fixed list of
names. It reads both layouts: the zip archive of PyTorch 1.6 and later, and the older stream, in
which most of the published ImageNet weights are. What a file claims to hold takes no more memory
than what it holds.
"""

import io
import math
import pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cosseg_jax.errors import UserError
from cosseg_jax.models.pretrained.archives import BinaryStream, opened_archive

MAGIC = 0x1950A86A20F9469CFC6C  # the first value of the older stream
BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Unpickler(pickle.Unpickler):
    """Accepts the names in `admitted`, as the objects they map to, and refuses all others."""

    def __init__(
        self,
        file: BinaryStream,
        admitted: Mapping[tuple[str, str], Any],
        load_reference: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(file, encoding="utf-8")
        self.admitted = admitted
        self.load_reference = load_reference

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.admitted:
            raise pickle.UnpicklingError(
                f"it refers to {module}.{name}, which does not belong into a file of weights"
            )
        return self.admitted[module, name]

    def persistent_load(self, pid: Any) -> Any:
        if self.load_reference is None:
            raise pickle.UnpicklingError("it refers to data outside the pickle")
        return self.load_reference(pid)


def unpickled(
    file: BinaryStream,
    admitted: Mapping[tuple[str, str], Any],
    load_reference: Callable[[Any], Any] | None = None,
) -> Any:
    """The object of the pickle at the stream's position, which is then behind the pickle.

    Raises any of BROKEN.
    """
    start = file.tell()
    _check_memo(file)
    file.seek(start)
    return Unpickler(file, admitted, load_reference).load()


def _check_memo(file: BinaryStream) -> None:
    """Raises for a place in the memo beyond the pickle: the unpickler makes room up to there."""
    with warnings.catch_warnings():  # of Python, about escapes in broken texts
        warnings.simplefilter("ignore", DeprecationWarning)
        stream: Any = file
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name.endswith("PUT") and (argument or 0) > number:
                raise pickle.UnpicklingError(f"it uses the place {argument} of its memo")


class _Storage(NamedTuple):
    key: str
    dtype: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: Mapping[str, bytes]) -> np.ndarray:
        """A view where elements lie in order; else they are gathered by index.

        Wrong strides and offsets raise an error.
        """
        flat = np.frombuffer(storages[self.storage.key], self.storage.dtype)
        size = math.prod(self.shape)
        if size > flat.size:
            raise ValueError(f"a tensor of shape {self.shape} has {flat.size} numbers")
        if self._in_order() and 0 <= self.offset <= flat.size - size:
            return flat[self.offset : self.offset + size].reshape(self.shape)
        index = np.asarray(self.offset)
        for size, stride in zip(self.shape, self.strides, strict=True):
            index = index[..., None] + stride * np.arange(size)
        return np.asarray(flat[index])

    def _in_order(self) -> bool:
        return list(self.strides) == [
            math.prod(self.shape[n + 1 :]) for n in range(len(self.shape))
        ]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


# Dtypes by name, as a pickle could change the state of objects.
STORAGES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


def _storage_of(reference: tuple[Any, ...]) -> _Storage:
    kind, dtype, key, _location, _numel, *view = reference
    if kind != "storage" or dtype not in STORAGES.values() or view not in ([], [None]):
        raise pickle.UnpicklingError(f"it refers to data as {reference!r}, which is not supported")
    return _Storage(key, dtype)


def _load(file: BinaryStream) -> Any:
    return unpickled(file, ADMITTED, _storage_of)


def _read_zip(file: BinaryStream) -> tuple[Any, dict[str, bytes]]:
    with opened_archive(file) as archive:
        pickled = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if pickled is None:
            raise ValueError("it is a zip archive without a data.pkl")
        root = pickled.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            order = archive.read(f"{root}byteorder")
            if order != b"little":
                raise ValueError(f"its byte order is {order!r}, only little-endian is supported")
        content = _load(io.BytesIO(archive.read(pickled)))
        folder = f"{root}data/"
        names = [name for name in archive.namelist() if name.startswith(folder)]
        return content, {name.removeprefix(folder): archive.read(name) for name in names}


def _read_stream(file: BinaryStream) -> tuple[Any, dict[str, bytes]]:
    if _load(file) != MAGIC:
        raise ValueError("it does not start like a file of PyTorch")
    _version, system = _load(file), _load(file)
    if not system["little_endian"]:
        raise ValueError("it is big-endian, only little-endian is supported")
    sizes: dict[str, int] = {}

    def storage_of(reference: tuple[Any, ...]) -> _Storage:
        storage = _storage_of(reference)
        sizes[storage.key] = np.dtype(storage.dtype).itemsize
        return storage

    content = unpickled(file, ADMITTED, storage_of)
    storages = {}
    for key in _load(file):
        count = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(count * sizes[key])
    return content, storages


def _tensors(content: Any) -> dict[str, _Tensor]:
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not tensors by name")
    for name, tensor in content.items():
        if not isinstance(tensor, _Tensor):
            raise ValueError(f"{name!r} in it is a {type(tensor).__name__}, not a tensor")
    return content


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name, in PyTorch's layout.

    The state dict may be the "state_dict" of a checkpoint. Its names may start with "module.", as
    after data-parallel training.

    Raises:
        UserError: for a file that cannot be read or holds anything but tensors.
    """
    try:
        with path.open("rb") as file:
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            content, storages = _read_zip(file) if zipped else _read_stream(file)
        return {
            name.removeprefix("module."): tensor.read(storages)
            for name, tensor in _tensors(content).items()
        }
    except BROKEN as error:
        raise UserError(
            f"{path} cannot be read as a state dict of PyTorch: {error or type(error).__name__}"
        ) from error
