"""Networks exported as ONNX, run by onnxruntime against the predictor."""

import json

import golden_group as groups
import numpy as np
import pytest

import cosseg_jax
from cosseg_jax.export.onnx_file import onnx_file
from cosseg_jax.predict.exported import load_exported

pytestmark = pytest.mark.slow

REASON = "needs the extra: pip install 'cosseg_jax[onnx]' onnxruntime"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def predictor():
    return cosseg_jax.load(groups.GOLDEN)


@pytest.fixture(scope="module")
def any_size():
    return onnx_file(*load_exported(groups.GOLDEN), None)


def check(content: bytes, predictor: cosseg_jax.Predictor, count: int) -> None:
    images = groups.pictures(count)
    session = onnxruntime.InferenceSession(content)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"images": images}), strict=True))
    expected = groups.predicted(predictor, images)
    assert names == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_groups_of_any_size(any_size, predictor, count):
    check(any_size, predictor, count)


def test_groups_of_a_fixed_size(predictor):
    check(onnx_file(*load_exported(groups.GOLDEN), 3), predictor, 3)


def test_further_iterations_are_those_of_the_predictor():
    config, variables = load_exported(groups.GOLDEN)
    config.model.num_iterations = 2
    check(onnx_file(config, variables, None), cosseg_jax.Predictor(config, variables), 3)


def test_mirrored_images_are_averaged_as_by_the_predictor():
    config, variables = load_exported(groups.GOLDEN)
    with config.unlocked():
        config.prediction.mirror = True
    check(onnx_file(config, variables, 3), cosseg_jax.Predictor(config, variables), 3)


def test_the_file_is_valid_and_says_what_it_is(any_size):
    model = onnx.load_from_string(any_size)
    onnx.checker.check_model(model, full_check=True)
    properties = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert properties["categories"] == list(load_exported(groups.GOLDEN)[0].categories)
    assert properties["image_size"] == groups.SIDE


def test_what_onnx_cannot_say_is_named(monkeypatch):
    monkeypatch.setattr("cosseg_jax.export.onnx_file.SOLVER", "eigh")
    with pytest.raises(NotImplementedError, match="operation eigh of JAX cannot be written"):
        onnx_file(*load_exported(groups.GOLDEN), 3)
