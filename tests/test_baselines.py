"""Methods without training, on inputs with known masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_source import FakeSource
from toy_networks import ToyBackbone

from benchmarks import baselines, untrained
from cosseg_jax.data.pseudo_masks import saliency_map
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.spatial import SpatialOptions

SIDE = 64
OBJECT = slice(16, 48)  # along both sides


class TwoColours:
    """A stand-in for `Features` whose descriptors depend on the colour of a cell."""

    def __call__(self, images: np.ndarray, stride: int) -> np.ndarray:
        bright = images[:, stride // 2 :: stride, stride // 2 :: stride, 0] > 100
        return np.stack([2 * bright, ~bright], axis=-1).astype(np.float16)  # [N, h, w, 2]


@pytest.fixture
def squares() -> np.ndarray:
    """A group of two images with a bright square in the middle: [2, S, S, 3]."""
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    images[:, OBJECT, OBJECT] = 200
    return images


def found(method: untrained.Method, images: np.ndarray) -> np.ndarray:
    probabilities, _ = method.predict(images)
    return np.asarray(probabilities) > 0.5


@pytest.fixture(autouse=True)
def toy_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "toy", ToyBackbone)


def random_features() -> untrained.Features:
    return untrained.Features("toy", untrained.RANDOM, (16, 32))


def test_the_middle_box_is_half_of_each_side(squares: np.ndarray):
    box = found(untrained.middle_box(SIDE), squares)
    np.testing.assert_array_equal(box, squares[..., 0] > 100)


@pytest.mark.parametrize("options", untrained.PRIORS.values(), ids=untrained.PRIORS)
def test_the_prior_finds_the_square(squares: np.ndarray, options: SpatialOptions):
    features = TwoColours()
    method = untrained.prior(features, 8, SIDE, options)  # pyright: ignore[reportArgumentType]
    masks = found(method, squares)[..., 4::8, 4::8]  # one pixel per cell: S is not +-1
    np.testing.assert_array_equal(masks, squares[..., 4::8, 4::8, 0] > 100)


@pytest.mark.slow
def test_k_means_separates_the_colours_of_the_whole_group(squares: np.ndarray):
    pytest.importorskip("sklearn", reason="k-means needs scikit-learn")
    method = untrained.kmeans(TwoColours(), 8, 2, SIDE)  # pyright: ignore[reportArgumentType]
    masks = found(method, squares)[..., 4::8, 4::8]  # one pixel per cell: upsampling rounds corners
    np.testing.assert_array_equal(masks, squares[..., 4::8, 4::8, 0] > 100)


def test_the_object_is_the_cluster_with_the_smallest_share_on_the_border():
    labels = np.full((2, 4, 4), 7)  # 24 of 29 on the border
    labels[0, 1:3, 1:3] = 3
    labels[0, 0, 1] = 3  # 1 of 5 on the border
    labels[1, 1:3, 2] = 5  # 2 cells, none on it
    labels[1, 1, 1] = 3
    np.testing.assert_array_equal(untrained.object_cells(labels), labels == 5)


def test_features_do_not_depend_on_earlier_calls(squares: np.ndarray):
    images = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
    features = random_features()
    features(images[:3], 32)
    maps = features(images, 32)  # three are known, five are not
    assert maps.shape[:3] == (8, SIDE // 32, SIDE // 32)
    expected = random_features()(images[::-1], 32)[::-1]
    np.testing.assert_allclose(maps, expected, rtol=2e-3, atol=2e-3 * expected.max())


def test_saliency_preprocesses_images_as_documented(squares: np.ndarray):
    inputs: list[np.ndarray] = []

    def network(x: np.ndarray) -> np.ndarray:
        inputs.append(x)
        return 0.2 + 0.1 * x[:, :1]  # a map whose range is not 0..1

    probabilities = np.stack([saliency_map(network, image) for image in squares])
    assert [x.shape for x in inputs] == [(1, 3, SIDE, SIDE)] * 2
    brightest, darkest = inputs[0][0, :, 32, 32], inputs[0][0, :, 0, 0]
    np.testing.assert_allclose(brightest, [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, 0.594 / 0.225])
    np.testing.assert_allclose(darkest, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    np.testing.assert_allclose(probabilities, squares[..., 0] > 100, atol=1e-6)


def test_metrics_of_a_group_independent_method_follow_from_one_pass():
    """The box covers a quarter of every image: it is never empty and three quarters are right."""
    source = FakeSource([(0,)] * 5 + [(1,)] * 2, categories=2)
    box = baselines.as_network("box", untrained.middle_box(SIDE))
    result = baselines.score(box, False, source, group_metrics=True)
    expected = baselines.score(box, True, source, group_metrics=True)
    assert result.group == pytest.approx(expected.group)
    assert result.group["foreign_P"] == pytest.approx(75)


@pytest.mark.slow
def test_the_command_prints_a_row_per_method_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    source = FakeSource([(0,)] * 5 + [(1,)] * 3, categories=2)
    monkeypatch.setattr(baselines, "load_source", lambda name, split, data_dir: source)
    out = tmp_path / "baselines.json"
    shipped = baselines.as_network("ours", untrained.middle_box(SIDE))
    loaded = {None: shipped, "folder": shipped._replace(name="folder")}
    monkeypatch.setattr(baselines.benchmark, "load_network", loaded.__getitem__)
    command = "--dataset shapes --methods box prior --backbone toy --pretrained random"
    command += " --networks shipped folder"
    baselines.main(
        [*command.split(), "--strides", "16", "32", "--image_size", str(SIDE), "--out", str(out)]
    )
    content = json.loads(out.read_text())
    priors = [f"{name}, stride {s}" for s in (16, 32) for name in untrained.PRIORS]
    names = ["middle box", *priors, "ours", "folder"]
    assert list(content["results"]) == [row["method"] for row in content["tables"][0]["rows"]]
    assert list(content["results"]) == names
    printed = capsys.readouterr().out
    assert all(f"\n| {name} " in printed for name in names)


def test_saliency_without_its_file_is_a_usage_error(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit, match="2"):
        baselines.main(["--methods", "saliency"])
    assert "--saliency_onnx" in capsys.readouterr().err
