"""The authors' file of weights: what fits is taken, anything else ends in an error."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from goldens.released_weights import tensor
from goldens.weights import unpack_layout, write_pth

from cosseg_jax.cli.main import main
from cosseg_jax.errors import NotFiniteError, UserError
from cosseg_jax.models.pretrained import released_files

GOLDENS = Path(__file__).parents[1] / "goldens"
LAYOUT = unpack_layout(np.load(GOLDENS / "released.npz")["layout"])


def test_names_and_shapes_are_those_of_the_authors_state_dict():
    """Every variable has a tensor, and every tensor but copies and counters a variable."""
    assert len(released_files.MODULES) == 13 * 2 + 8 + 4 + 7
    names = {f"{module}.weight" for module in released_files.MODULES.values()}
    kept = {name for name in LAYOUT if not name.startswith(released_files.COPIES)}
    assert names == {name for name in kept if name.endswith(".weight")}


@pytest.fixture
def tensors() -> dict[str, np.ndarray]:
    """Views of zeros: whole arrays of this size would take a second to draw and to write."""
    return {
        name: np.broadcast_to(np.float32(0 if "var" not in name else 1), shape)
        for name, shape in LAYOUT.items()
    }


def variables_of(tensors: dict[str, np.ndarray], monkeypatch) -> dict:
    monkeypatch.setattr(released_files, "read_state_dict", lambda path: dict(tensors))
    return released_files.released_variables(Path("ssnm.pth"))


def test_kernels_are_turned_for_flax(tensors, monkeypatch):
    dense, conv, enlarge = "cls.0.weight", "sp1.0.weight", "mask.1.weight"
    tensors |= {name: tensor(name, LAYOUT[name]) for name in (dense, conv, enlarge)}
    found = variables_of(tensors, monkeypatch)["params"]
    np.testing.assert_array_equal(found["pooling"]["classify"]["kernel"].T, tensors[dense])
    np.testing.assert_array_equal(
        found["pooling"]["reduce_image"]["kernel"][0, 0], tensors[conv][..., 0, 0].T
    )
    kernel = found["decoder"]["enlarge"]["kernel"]  # [kh, kw, in, out]
    assert kernel[0, 7, 1, 0] == tensors[enlarge][1, 0, 7, 0]


def test_copies_that_differ_are_another_network(tensors, monkeypatch):
    tensors["concat2.0.bias"] = np.ones(LAYOUT["concat2.0.bias"], np.float32)
    with pytest.raises(UserError, match=r"concat2.0.bias is not equal to concat4.0.bias"):
        variables_of(tensors, monkeypatch)


def test_missing_renamed_and_reshaped_tensors_are_listed(tensors, monkeypatch):
    tensors["base.99.weight"] = tensors.pop("base.0.weight")
    tensors["cls.0.weight"] = np.zeros((20, 512), np.float32)
    with pytest.raises(UserError) as caught:
        variables_of(tensors, monkeypatch)
    message = str(caught.value)
    assert "+ only in the file: base.99.weight" in message
    assert "- only in the model: params/backbone/conv1_1/kernel" in message
    assert "(512, 20) in the file, (512, 78) in the model" in message


def test_a_tensor_of_other_dimensions_is_listed(tensors, monkeypatch):
    tensors["mask.1.weight"] = np.zeros(7, np.float32)
    with pytest.raises(UserError, match=r"decoder/enlarge/kernel: \(7,\) in the file"):
        variables_of(tensors, monkeypatch)


def test_a_value_that_is_not_finite_is_named(tensors, monkeypatch):
    tensors["cls.0.bias"] = np.full(78, np.nan, np.float32)
    with pytest.raises(NotFiniteError, match="params/pooling/classify/bias"):
        variables_of(tensors, monkeypatch)


class Attack:
    """Its pickle calls a function when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_hostile_file_is_refused_and_nothing_is_written(tmp_path, capsys):
    target, path, out = tmp_path / "touched", tmp_path / "hostile.pth", tmp_path / "out"
    stream = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"a": Attack(target)}]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in stream))
    assert main(["convert", "ssnm", str(path), "--out", str(out)]) == 2
    assert "does not belong into a file of weights" in capsys.readouterr().err
    assert not target.exists()
    assert not out.exists()


@pytest.mark.parametrize("kind", ["missing", "truncated", "text"])
def test_a_wrong_file_is_named_and_nothing_is_written(kind, tmp_path, capsys):
    path, out = tmp_path / "ssnm.pth", tmp_path / "out"
    if kind == "truncated":
        write_pth(path, {"cls.0.bias": np.zeros(78, np.float32)})
        path.write_bytes(path.read_bytes()[:-40])
    if kind == "text":
        path.write_text("no weights")
    assert main(["convert", "ssnm", str(path), "--out", str(out)]) == 2
    assert "ssnm.pth" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path, capsys):
    path, out = tmp_path / "ssnm.pth", tmp_path / "out"
    write_pth(path, {"cls.0.bias": np.zeros(78, np.float32)})
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main(["convert", "ssnm", str(path), "--out", str(out)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [each.name for each in out.iterdir()] == ["mine.txt"]
