"""Weights generated from names, so that none are committed, and files of PyTorch that hold them.

It needs only numpy: the scripts here run with PyTorch, the tests without it.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np


def make(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of a state dict, drawn with a seed from its name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) == 4:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return (scale * random.standard_normal(shape)).astype(np.float32)
    if name.endswith(("weight", "running_var")):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    return (0.1 * random.standard_normal(shape)).astype(np.float32)


def images(*shape: int) -> np.ndarray:
    """Standard normal pixels, M x H x W x 3."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def pack_layout(layout: dict[str, tuple[int, ...]]) -> np.ndarray:
    """The names and shapes of a state dict as the bytes of a text."""
    lines = [" ".join([name, *map(str, shape)]) for name, shape in layout.items()]
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


def unpack_layout(text: np.ndarray) -> dict[str, tuple[int, ...]]:
    """The inverse of `pack_layout`."""
    lines = [line.split() for line in text.tobytes().decode().splitlines()]
    return {name: tuple(map(int, shape)) for name, *shape in lines}


def write_pth(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes the zip layout of PyTorch; the pickle is composed opcode by opcode."""
    pickled = [b"\x80\x02}"]  # protocol 2, an empty dict
    with zipfile.ZipFile(path, "w") as archive:
        for key, (name, tensor) in enumerate(tensors.items()):
            pickled += [_text(name), _tensor(str(key), tensor), b"s"]  # set item
            archive.writestr(f"archive/data/{key}", tensor.tobytes())
        archive.writestr("archive/data.pkl", b"".join([*pickled, b"."]))
        archive.writestr("archive/version", "3\n")


def _tensor(key: str, tensor: np.ndarray) -> bytes:
    storage = {"f": b"Float", "i": b"Long"}[tensor.dtype.kind]
    reference = [_text("storage"), b"ctorch\n" + storage + b"Storage\n", _text(key), _text("cpu")]
    strides = [stride // tensor.itemsize for stride in tensor.strides]
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            *[b"(", *reference, _int(tensor.size), b"tQ"],  # a reference to data outside
            _int(0),
            *[b"(", *map(_int, tensor.shape), b"t"],
            *[b"(", *map(_int, strides), b"t"],
            b"\x89ccollections\nOrderedDict\n)R",  # no gradient, no hooks
            b"tR",
        ]
    )


def _text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def _int(value: int) -> bytes:
    return b"J" + int(value).to_bytes(4, "little")
