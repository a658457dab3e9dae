"""`cosseg export`: its arguments, and that nothing is overwritten or half written."""

import argparse

import golden_group as groups
import jax
import numpy as np
import pytest

from cosseg_jax.cli import export
from cosseg_jax.cli.main import make_parser
from cosseg_jax.errors import UserError
from cosseg_jax.predict.exported import load_exported

pytestmark = pytest.mark.slow


def parsed(*arguments: object) -> argparse.Namespace:
    return make_parser().parse_args(["export", *(str(x) for x in arguments)])


def test_it_writes_a_file_that_can_be_called(tmp_path, capsys):
    pytest.importorskip("flatbuffers", reason="needs the extra: pip install 'cosseg_jax[export]'")
    path = tmp_path / "new" / "network.stablehlo"
    arguments = parsed(
        path, "--format", "stablehlo", "--checkpoint", groups.GOLDEN, "--group_size", 3
    )
    arguments.run(arguments)
    found = jax.export.deserialize(path.read_bytes()).call(groups.pictures(3))
    assert found["probabilities"].shape == (3, 96, 96)
    assert [x.name for x in path.parent.iterdir()] == ["network.stablehlo"]
    assert capsys.readouterr().out.startswith(f"{path}: ")


@pytest.mark.parametrize("form", export.EXPORT_FORMATS)
def test_what_is_there_stays_before_anything_is_read(tmp_path, form):
    path = tmp_path / "network.safetensors"
    path.write_bytes(b"mine")
    arguments = parsed(path, "--format", form, "--checkpoint", tmp_path / "absent")
    with pytest.raises(UserError, match="exists already"):
        export.EXPORT.run(arguments)
    assert path.read_bytes() == b"mine"
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        export.EXPORT.run(
            parsed(path, "--format", form, "--checkpoint", tmp_path / "absent", "--force")
        )
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("size", ["0", "-1", "2.5", "all"])
def test_group_sizes_are_numbers_or_any(tmp_path, capsys, size):
    with pytest.raises(SystemExit):
        parsed(tmp_path / "network", "--format", "onnx", f"--group_size={size}")
    assert "is not a whole number of 1 or more, nor 'any'" in capsys.readouterr().err


def test_a_network_in_one_file_is_loaded_again(tmp_path, capsys):
    path = tmp_path / "network.safetensors"
    arguments = parsed(path, "--format", "safetensors", "--checkpoint", groups.GOLDEN, "--half")
    arguments.run(arguments)
    assert "groups of any" in capsys.readouterr().out
    config, variables = load_exported(path)
    golden, whole = load_exported(groups.GOLDEN)
    assert config.to_dict() == golden.to_dict()
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-6), variables, whole
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.safetensors", ["safetensors", "--group_size", 5], "--group_size does not go with"),
        ("a.bin", ["safetensors"], "a.bin must end in .safetensors"),
        ("a.onnx", ["onnx", "--half"], "--half goes with --format safetensors, not with onnx"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, name, options, message):
    with pytest.raises(UserError, match=message):
        export.EXPORT.run(parsed(tmp_path / name, "--format", *options))
    assert not (tmp_path / name).exists()


def test_the_default_is_groups_of_any_size(tmp_path):
    assert parsed(tmp_path / "network", "--format", "onnx").group_size == "any"
