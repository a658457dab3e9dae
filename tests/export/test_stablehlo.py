"""Networks exported as StableHLO, against the predictor; loaded with JAX alone."""

import subprocess
import sys

import golden_group as groups
import jax
import numpy as np
import pytest

import cosseg_jax
from cosseg_jax.export.stablehlo import stablehlo
from cosseg_jax.predict.exported import load_exported

pytestmark = pytest.mark.slow

pytest.importorskip("flatbuffers", reason="needs the extra: pip install 'cosseg_jax[export]'")

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def predictor():
    return cosseg_jax.load(groups.GOLDEN)


@pytest.fixture(scope="module")
def any_size():
    return stablehlo(*load_exported(groups.GOLDEN), None)


def check(content: bytes, predictor: cosseg_jax.Predictor, count: int) -> None:
    images = groups.pictures(count)
    found = jax.jit(jax.export.deserialize(content).call)(images)
    expected = groups.predicted(predictor, images)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_groups_of_any_size(any_size, predictor, count):
    check(any_size, predictor, count)


def test_groups_of_a_fixed_size(predictor):
    content = stablehlo(*load_exported(groups.GOLDEN), 3)
    check(content, predictor, 3)
    with pytest.raises(ValueError, match="Shape mismatch"):
        jax.export.deserialize(content).call(groups.pictures(5))


def test_further_iterations_are_those_of_the_predictor():
    config, variables = load_exported(groups.GOLDEN)
    config.model.num_iterations = 2
    check(stablehlo(config, variables, None), cosseg_jax.Predictor(config, variables), 3)


def test_mirrored_images_are_averaged_as_by_the_predictor():
    config, variables = load_exported(groups.GOLDEN)
    with config.unlocked():
        config.prediction.mirror = True
    check(stablehlo(config, variables, 3), cosseg_jax.Predictor(config, variables), 3)


def test_it_is_lowered_for_cpu_and_cuda(any_size):
    exported = jax.export.deserialize(any_size)
    assert exported.platforms == ("cpu", "cuda")
    assert str(exported.in_avals[0].shape) == "(N, 96, 96, 3)"


PROGRAM = """
import sys
import numpy as np
from jax import export
network = export.deserialize(open(sys.argv[1], "rb").read())
found = network.call(np.load(sys.argv[2]))
np.savez(sys.argv[3], **found)
assert not any(name.startswith(("cosseg_jax", "flax")) for name in sys.modules)
"""


def test_jax_alone_calls_it(any_size, predictor, tmp_path):
    files = [str(tmp_path / name) for name in ("network.bin", "images.npy", "found.npz")]
    (tmp_path / "network.bin").write_bytes(any_size)
    np.save(files[1], groups.pictures(3))
    subprocess.run([sys.executable, "-c", PROGRAM, *files], cwd=tmp_path, check=True)
    found = np.load(files[2])
    for name, value in groups.predicted(predictor, groups.pictures(3)).items():
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, err_msg=name)
