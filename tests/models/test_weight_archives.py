"""Files of weights that claim, or unpack to, far more than they hold, and other hostile ones."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from cosseg_jax.errors import NotFiniteError, UserError
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.pretrained.archives import read_npz
from cosseg_jax.models.pretrained.lpips_files import read_lpips
from cosseg_jax.models.pretrained.torch_files import read_state_dict


def write_npz(path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(header: str) -> bytes:
    """A .npy file of a header without an array."""
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def test_arrays_are_read_compressed_or_not(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.int32(4)}
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", **arrays)
        found = read_npz(tmp_path / f"{name}.npz")
        assert found.keys() == arrays.keys()
        for key, value in arrays.items():
            np.testing.assert_array_equal(found[key], value)


def test_an_archive_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(150_000_000), compresslevel=1)
    with pytest.raises(UserError, match=r"bomb.npz cannot be read .* to 150000000, as no weights"):
        read_npz(path)
    path = path.rename(tmp_path / "bomb.pth")
    with pytest.raises(UserError, match=r"bomb.pth cannot be read .* to 150000000, as no weights"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999,), }"), "npz"),
        (npy("{'descr': '<f4', 'fort\0\0(: "), "npz"),
        (npy("{" * 100), "npz"),
        (b"no array", "a is of type bytes"),
        (npy("{'descr': '<U0', 'fortran_order': False, 'shape': (), }"), "a is of type <U"),
    ],
)
def test_arrays_that_are_none_are_named(tmp_path, content, reason):
    path = tmp_path / "odd.npz"
    write_npz(path, {"a.npy" if content.startswith(b"\x93") else "a": content})
    with pytest.raises(UserError, match=rf"odd.npz.*{reason}"):
        read_npz(path)


def test_a_pickle_may_not_ask_for_a_memo_of_billions(tmp_path):
    path = tmp_path / "memo.ckpt"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")  # {} at place 2^31 - 1: 34 GB
    with pytest.raises(UserError, match=r"memo.ckpt cannot be read .* place 2147483647 of its"):
        read_lpips(path, "vgg16")


def test_a_pickle_may_not_ask_for_a_text_of_terabytes(tmp_path):
    path = tmp_path / "text.ckpt"
    path.write_bytes(b"\x80\x04\x8e" + (2**42).to_bytes(8, "little") + b"a.")
    with pytest.raises(UserError, match=r"text.ckpt cannot be read as weights"):
        read_lpips(path, "vgg16")


def test_a_tensor_may_not_repeat_its_storage_without_end(tmp_path):
    """A stride of 0 makes any number of elements of one."""
    path = tmp_path / "repeated.pth"
    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nK\x01tQ"
    shape_and_strides = b"J\xff\xff\xff\x7f\x85K\x00\x85"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape_and_strides + b"tR"
    )
    content = b"\x80\x02}X\x01\x00\x00\x00a" + tensor + b"s."
    stream = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    written = io.BytesIO()
    for part in stream:
        pickle.dump(part, written, 2)
    written.write(content)
    pickle.dump(["0"], written, 2)
    written.write((1).to_bytes(8, "little") + bytes(4))
    path.write_bytes(written.getvalue())
    with pytest.raises(UserError, match=r"shape \(2147483647,\) has 1 numbers"):
        read_state_dict(path)


def test_weights_that_are_not_finite_are_named(tmp_path):
    path, bias = tmp_path / "nan.npz", np.array([0, np.nan], np.float32)
    np.savez(path, **{"params/conv1_1/bias": bias, "params/conv1_1/kernel": np.ones(3, np.float32)})
    like = {"params": {"conv1_1": {"bias": bias, "kernel": np.ones(3, np.float32)}}}
    with pytest.raises(
        NotFiniteError, match=r"nan.npz has values .* in params/conv1_1/bias: it is"
    ):
        load_pretrained(str(path), "vgg16", like)
