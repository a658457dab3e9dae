"""A network in one safetensors file equals the folder of its export; other files are named."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.predict import exported, single_file

GOLDEN = Path(__file__).parents[1] / "goldens" / "quickstart"


@pytest.fixture(scope="module")
def network():
    return exported.load_exported(GOLDEN)


@pytest.fixture
def file(network, tmp_path) -> Path:
    path = tmp_path / "network.safetensors"
    path.write_bytes(exported.as_single_file(*network))
    return path


@pytest.mark.slow
def test_the_file_holds_the_config_and_every_variable(network, file):
    config, variables = exported.load_exported(file)
    assert config.to_dict() == network[0].to_dict()
    assert jax.tree.structure(variables) == jax.tree.structure(network[1])
    jax.tree.map(np.testing.assert_array_equal, variables, network[1])


def test_half_precision_takes_about_half_the_room(network, file):
    half = exported.as_single_file(*network, half=True)
    assert len(half) < 0.6 * file.stat().st_size


def test_sizes_and_types_are_those_of_the_folder(file):
    assert exported.stored_leaves(file) == exported.stored_leaves(GOLDEN)


@pytest.mark.slow
def test_reading_it_needs_no_orbax(file):
    code = (
        "import sys; from pathlib import Path\n"
        "from cosseg_jax.predict.exported import load_exported\n"
        f"load_exported(Path({str(file)!r}))\n"
        "print([name for name in sys.modules if name.startswith('orbax')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_variables_that_are_not_the_networks_are_listed(network, tmp_path):
    config, variables = network
    params = dict(variables["params"])
    params["other"] = params.pop("head")
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(exported.as_single_file(config, {**variables, "params": params}))
    with pytest.raises(UserError, match=r"(?s)\+ params/other/.*- params/head/"):
        exported.load_exported(path)


def test_weights_of_others_are_no_network(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"conv1.weight": np.zeros((2, 2), np.float32)}, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"model.safetensors is no exported network"):
        exported.load_exported(path)


@pytest.mark.parametrize("size", [0, 7, 200, -1])
def test_a_file_that_is_cut_off_is_named(file, size):
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match=r"network.safetensors cannot be read as a safetensors"):
        exported.load_exported(file)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is a list, not an object"),
        ('{"model": {}}', "lacks categories, image_size, prediction; export"),
        (
            json.dumps(dict(model={}, categories=[], prediction={}, image_size=32)),
            "describes no network of this version",
        ),
    ],
)
def test_a_damaged_config_is_named(tmp_path, config, message):
    path = tmp_path / "network.safetensors"
    path.write_bytes(single_file.encode(config, {"params": {"a": np.zeros(2, np.float32)}}))
    with pytest.raises(UserError, match=message):
        exported.load_exported(path)


def test_other_types_than_those_of_weights_are_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    path.write_bytes(single_file.encode("{}", {"flags": np.zeros(3, bool)}))
    with pytest.raises(UserError, match="flags has the type BOOL; expected one of F16, BF16, F32"):
        exported.stored_leaves(path)


def test_arrays_of_bfloat16_and_views_are_written_as_they_are(tmp_path):
    path = tmp_path / "network.safetensors"
    view = np.arange(6, dtype=np.float32).reshape(2, 3).T
    tree = {"b": jnp.asarray([1.5, -2.0], jnp.bfloat16), "scalar": np.float32(3), "view": view}
    path.write_bytes(single_file.encode("{}", tree))
    found = single_file.variables_in(path, tree)
    np.testing.assert_array_equal(found["view"], view)
    assert found["b"].dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(found["b"], np.float32), [1.5, -2.0])
    assert found["scalar"] == 3


def test_a_missing_file_and_a_file_of_another_kind_are_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"there is no file .*none.safetensors"):
        exported.load_exported(tmp_path / "none.safetensors")
    (tmp_path / "a.pth").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a.pth is no exported network: give its folder or a"):
        exported.load_exported(tmp_path / "a.pth")
