"""State dicts of PyTorch without PyTorch: both layouts, broken files and hostile files."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.models.pretrained.torch_files import read_state_dict

GOLDENS = Path(__file__).parents[1] / "goldens"


class Attack:
    """Its pickle calls a function when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_both_layouts_of_pytorch_are_read(name: str):
    state = read_state_dict(GOLDENS / name)
    base = np.arange(24, dtype=np.float32)
    assert state.keys() == {"whole", "crossed", "half", "double", "count"}
    np.testing.assert_array_equal(state["whole"], base.reshape(2, 3, 4))
    np.testing.assert_array_equal(state["crossed"], base.reshape(4, 6).T[1:])
    np.testing.assert_array_equal(state["half"], np.array([0.5, -2.0], np.float16))
    np.testing.assert_array_equal(state["double"], np.array([[1e-9]]))
    assert state["count"] == 7


def test_a_hostile_state_dict_is_refused_and_not_run(tmp_path):
    target, path = tmp_path / "touched", tmp_path / "hostile.pth"
    stream = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"a": Attack(target)}]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in stream))
    with pytest.raises(
        UserError, match=r"hostile.pth cannot be read .*does not belong into a file"
    ):
        read_state_dict(path)
    assert not target.exists()


def test_a_truncated_state_dict_is_named(tmp_path):
    path = tmp_path / "short.pth"
    path.write_bytes((GOLDENS / "stream.pth").read_bytes()[:-10])
    with pytest.raises(UserError, match=r"short.pth cannot be read as a state dict"):
        read_state_dict(path)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "beyond.pth"
    content = (GOLDENS / "stream.pth").read_bytes()
    shape = b"K\x02K\x03K\x04\x87"  # (2, 3, 4) of `whole`
    assert content.count(shape) == 1
    path.write_bytes(content.replace(shape, b"K\x02K\x03K\x05\x87"))
    with pytest.raises(UserError, match=r"beyond.pth .* shape \(2, 3, 5\) has 24 numbers"):
        read_state_dict(path)


def test_an_entry_that_is_not_a_tensor_is_named(tmp_path):
    path = tmp_path / "epoch.pth"
    stream = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"epoch": 3}, []]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in stream))
    with pytest.raises(UserError, match=r"'epoch' in it is a int, not a tensor"):
        read_state_dict(path)
