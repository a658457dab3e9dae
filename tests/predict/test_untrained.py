"""A backbone's name in place of an exported network, with a backbone that needs no training."""

from pathlib import Path

import jax
import numpy as np
import pytest
from toy_networks import ToyBackbone, drawn_variables

import cosseg_jax
from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.pretrained import flat_names
from cosseg_jax.predict import exported, untrained
from cosseg_jax.predict.predictor import Predictor


@pytest.fixture
def toy(monkeypatch, tmp_path) -> Path:
    """Enters the toy backbone as `toy`; the path of its weights."""
    monkeypatch.setitem(BACKBONES, "toy", ToyBackbone)
    monkeypatch.setitem(untrained.NAMES, "toy", "toy")
    path = tmp_path / "toy.npz"
    variables = drawn_variables(ToyBackbone(), np.zeros((1, 64, 64, 3), np.float32))
    np.savez(path, **flat_names(variables))
    return path


def scenes(count: int = 4) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images with a yellow square on grounds of different dark colours, and its masks."""
    rng = np.random.default_rng(0)
    images, masks = [], []
    for _ in range(count):
        mask = np.zeros((160, 160), bool)
        row, column = rng.integers(32, 64, 2)
        mask[row : row + 64, column : column + 64] = True
        image = np.where(mask[..., None], [230, 210, 40], rng.integers(0, 90, 3))
        images.append((image + rng.integers(0, 20, image.shape)).astype(np.uint8))
        masks.append(mask)
    return images, masks


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.slow
def test_what_the_images_share_is_found(toy):
    config, variables = untrained.load_untrained("toy", str(toy))
    config.model.spatial_stride, config.image_size = 8, 160
    images, masks = scenes()
    result = Predictor(config, variables)(images)
    assert result.categories == {}
    assert np.mean([iou(x.mask, mask) for x, mask in zip(result.images, masks, strict=True)]) > 0.7
    alone = Predictor(config, variables)(images[:1])
    assert alone.images[0].mask.shape == (160, 160)


def test_a_prompt_says_which_part_is_meant(toy):
    config, variables = untrained.load_untrained("toy", str(toy))
    config.model.spatial_stride, config.image_size = 8, 160
    images, masks = scenes()
    prompt = Prompt(image=0, mask=~masks[0])
    result = Predictor(config, variables)(images, prompt=prompt)
    assert iou(result.images[0].mask, ~masks[0]) > 0.5


@pytest.mark.slow
def test_load_takes_a_backbone_with_its_weights(toy):
    predictor = cosseg_jax.load(f"toy:{toy}")
    assert (predictor.options.image_size, predictor.options.refine) == (320, "guided")
    assert jax.tree.all(
        jax.tree.map(
            np.all, jax.tree.map(np.isfinite, predictor(scenes()[0]).images[0].probability_map)
        )
    )


def test_names_are_those_of_backbones_with_dashes():
    assert untrained.named_network("dinov3-small") == ("dinov3_small", "hub")
    assert untrained.named_network(Path("dinov2-base:a/b.pth")) == ("dinov2_base", "a/b.pth")
    assert untrained.named_network("runs/best") is None
    assert untrained.named_network("hrnet-tiny") is None


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    (tmp_path / "dinov3-small").mkdir()
    monkeypatch.chdir(tmp_path)
    assert untrained.named_network("dinov3-small") is None


def test_tokens_keep_their_own_grid():
    config = untrained.untrained_config("dinov3_small")
    assert (config.model.spatial_stride, config.image_size) == (16, 448)


def test_a_backbone_whose_weights_are_not_on_the_hub_is_named():
    with pytest.raises(UserError, match=r"model.backbone is 'resnet50_keras'; choose one of"):
        cosseg_jax.load("resnet50-keras")


def test_it_is_exported_and_loaded_as_any_other_network(toy, tmp_path):
    config, variables = untrained.load_untrained("toy", str(toy))
    path = tmp_path / "toy.safetensors"
    path.write_bytes(exported.as_single_file(config, variables))
    again, found = exported.load_exported(path)
    assert again.to_dict() == config.to_dict()
    jax.tree.map(np.testing.assert_array_equal, found, variables)
