"""What one could have instead of a trained network, on inputs whose masks are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_source import FakeSource

from benchmarks import baselines, untrained
from cosseg_jax.types import GroupMasks

SIDE = 64
OBJECT = slice(16, 48)  # of both sides


class TwoColours:
    """In the place of `Features`: the descriptor of a cell is that of its colour."""

    def __call__(self, images: np.ndarray, stride: int) -> np.ndarray:
        bright = images[:, :, stride // 2 :: stride, stride // 2 :: stride, 0] > 100
        return np.stack([bright, ~bright], axis=-1).astype(np.float16)  # [B, N, h, w, 2]


@pytest.fixture
def squares() -> np.ndarray:
    """A bright square in the middle, in one group of two: [1, 2, S, S, 3]."""
    images = np.zeros((1, 2, SIDE, SIDE, 3), np.uint8)
    images[:, :, OBJECT, OBJECT] = 200
    return images


def found(method: untrained.Method, images: np.ndarray) -> np.ndarray:
    masks = method.predict(images)
    assert isinstance(masks, GroupMasks)
    return np.asarray(masks.probabilities) > 0.5


def random_features() -> untrained.Features:
    return untrained.Features("hrnet_tiny", untrained.RANDOM, (16, 32))


def test_the_middle_box_is_half_of_each_side(squares: np.ndarray):
    box = found(untrained.middle_box(SIDE), squares)
    np.testing.assert_array_equal(box, squares[..., 0] > 100)


def test_the_prior_takes_what_the_border_has_less_of(squares: np.ndarray):
    method = untrained.prior(TwoColours(), 8, SIDE)  # pyright: ignore[reportArgumentType]
    masks = found(method, squares)[..., 4::8, 4::8]  # one pixel a cell: S is not +-1 on the parts
    np.testing.assert_array_equal(masks, squares[..., 4::8, 4::8, 0] > 100)


def test_k_means_parts_the_colours_of_the_whole_group(squares: np.ndarray):
    pytest.importorskip("sklearn", reason="k-means needs scikit-learn")
    method = untrained.kmeans(TwoColours(), 8, 2, SIDE)  # pyright: ignore[reportArgumentType]
    masks = found(method, squares)[..., 4::8, 4::8]  # one pixel a cell: enlarging rounds corners
    np.testing.assert_array_equal(masks, squares[..., 4::8, 4::8, 0] > 100)


def test_the_object_is_the_cluster_whose_own_cells_are_least_on_the_border():
    labels = np.full((2, 4, 4), 7)  # 24 of 29 on the border
    labels[0, 1:3, 1:3] = 3
    labels[0, 0, 1] = 3  # 1 of 5 on the border
    labels[1, 1:3, 2] = 5  # 2 cells, none on it
    labels[1, 1, 1] = 3
    np.testing.assert_array_equal(untrained.object_cells(labels), labels == 5)


def test_features_have_length_1_and_the_shape_of_their_stride(squares: np.ndarray):
    maps = random_features()(squares, 16)
    assert maps.shape[:4] == (1, 2, SIDE // 16, SIDE // 16)
    lengths = np.linalg.norm(maps.astype(np.float32), axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_features_do_not_depend_on_what_was_asked_for_before():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, SIDE, SIDE, 3), np.uint8)
    features = random_features()
    features(images[:1, :3], 32)
    maps = features(images, 32)  # three are known, five are not
    np.testing.assert_allclose(maps, random_features()(images[:, ::-1], 32)[:, ::-1], atol=2e-3)


def test_saliency_prepares_photographs_as_documented(squares: np.ndarray):
    inputs: list[np.ndarray] = []

    def network(x: np.ndarray) -> np.ndarray:
        inputs.append(x)
        return 0.2 + 0.1 * x[:, :1]  # a map of another range than 0..1

    masks = untrained.saliency_of(network, SIDE).predict(squares)
    assert [x.shape for x in inputs] == [(1, 3, SIDE, SIDE)] * 2
    brightest, darkest = inputs[0][0, :, 32, 32], inputs[0][0, :, 0, 0]
    np.testing.assert_allclose(brightest, [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, 0.594 / 0.225])
    np.testing.assert_allclose(darkest, [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    np.testing.assert_allclose(masks.probabilities, squares[..., 0] > 100, atol=1e-6)


def test_a_method_without_group_scores_among_strangers_as_at_home():
    """The box covers a quarter of every photograph: never empty, three quarters of it right."""
    source = FakeSource([(0,)] * 5 + [(1,)] * 2, categories=2)
    result = baselines.score("box", untrained.middle_box(SIDE), source, group_figures=True)
    forced = untrained.middle_box(SIDE)._replace(sees_group=True)
    expected = baselines.score("box", forced, source, group_figures=True)
    assert result.group == pytest.approx(expected.group)
    assert result.group["foreign_P"] == pytest.approx(75)


def test_the_command_prints_a_row_a_method_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    source = FakeSource([(0,)] * 5 + [(1,)] * 3, categories=2)
    monkeypatch.setattr(baselines, "load_source", lambda name, split, data_dir: source)
    out = tmp_path / "baselines.json"
    command = "--dataset shapes --methods box prior --backbone hrnet_tiny --pretrained random"
    baselines.main(
        [*command.split(), "--strides", "16", "32", "--image_size", str(SIDE), "--out", str(out)]
    )
    content = json.loads(out.read_text())
    names = ["middle box", "prior, stride 16", "prior, stride 32"]
    assert list(content["results"]) == [row["method"] for row in content["tables"][0]["rows"]]
    assert list(content["results"]) == names
    printed = capsys.readouterr().out
    assert all(f"\n| {name} | " in printed for name in names)


def test_saliency_without_its_file_is_told_on_the_command_line(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit, match="2"):
        baselines.main(["--methods", "saliency"])
    assert "--saliency_onnx" in capsys.readouterr().err
