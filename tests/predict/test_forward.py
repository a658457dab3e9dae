"""Prediction from images and from maps, for groups of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_networks import ToyBackbone, drawn_variables

from configs import hrnet
from cosseg_jax.models.backbones import BACKBONES, create_backbone, normalise_images
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.forward import make_forward, make_predictor, prediction_options
from cosseg_jax.types import FeatureMaps

SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained():
    """A config with its categories, variables, and the predictor made of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "toy", ToyBackbone)
        config = hrnet.get_config()
        config.image_size = SIZE
        config.model.backbone = "toy"
        config.model.features = 8
        config.model.semantic.reduced = 4
        with config.unlocked():
            config.categories = ["cat", "dog"]
        network = from_config(config.model, 2)
        variables = drawn_variables(network, IMAGES)
        yield config, variables, make_predictor(config, variables)


@pytest.fixture(scope="module")
def maps(trained) -> FeatureMaps:
    """The backbone's maps of all images, [B, N, h, w, C]."""
    own = {part: tree["backbone"] for part, tree in trained[1].items()}
    pixels = IMAGES.reshape(-1, SIZE, SIZE, 3).astype(np.float32) / 255
    flat = normalise_images(pixels, "toy")
    found = create_backbone("toy").apply(own, flat, train=False)
    return FeatureMaps(*(np.asarray(x).reshape(2, 3, *x.shape[1:]) for x in found))


def test_probabilities_are_the_sigmoid_of_the_mask_logits(trained):
    config, variables, predict = trained
    probabilities, prediction = make_forward(config)(variables, IMAGES)
    assert probabilities.shape == (2, 3, SIZE, SIZE)
    np.testing.assert_allclose(
        probabilities, 1 / (1 + np.exp(-np.float64(prediction.mask_logits))), rtol=1e-5
    )
    np.testing.assert_array_equal(predict(IMAGES).probabilities, probabilities)


def test_mirror_images_are_averaged_where_the_config_asks(trained):
    config, variables, predict = trained
    config = config.copy_and_resolve_references()
    config.prediction.mirror = True
    masks = make_predictor(config, variables)(IMAGES)
    mirrored = predict(IMAGES[:, :, :, ::-1]).probabilities[..., ::-1]
    plain = predict(IMAGES)
    assert np.abs(mirrored - plain.probabilities).max() > 1e-3
    mean = (mirrored + plain.probabilities) / 2
    np.testing.assert_allclose(masks.probabilities, mean, rtol=1e-5)
    np.testing.assert_array_equal(masks.prior, plain.prior)


def test_photographs_are_predicted_at_the_size_that_the_config_says():
    config = hrnet.get_config()
    assert prediction_options(config) == (224, False, False)
    config.prediction.image_size = 320
    assert prediction_options(config).image_size == 320
    del config["prediction"]  # as in exports of older versions
    assert prediction_options(config) == (224, False, False)


def test_the_class_head_has_the_configs_categories(trained):
    config, variables, _ = trained
    _, prediction = jax.eval_shape(make_forward(config), variables, IMAGES)
    assert prediction.class_logits.shape == (2, 2)


def test_maps_give_what_their_images_give(trained, maps):
    predict = trained[2]
    probabilities = predict(IMAGES).probabilities
    assert np.std(probabilities) > 1e-3
    np.testing.assert_allclose(predict(maps).probabilities, probabilities, atol=1e-4)


def test_float16_maps_from_a_cache_do(trained, maps):
    predict = trained[2]
    halved = FeatureMaps(*(x.astype(np.float16) for x in maps))
    np.testing.assert_allclose(
        predict(halved).probabilities, predict(IMAGES).probabilities, atol=1e-2
    )


@pytest.mark.parametrize("photos", [1, 2])
def test_any_number_of_photographs(trained, maps, photos):
    """Groups of other sizes are other groups, to be computed with the same variables."""
    predict = trained[2]
    few = FeatureMaps(*(x[:, :photos] for x in maps))
    probabilities = predict(few).probabilities
    assert probabilities.shape == (2, photos, SIZE, SIZE)
    np.testing.assert_allclose(predict(IMAGES[:, :photos]).probabilities, probabilities, atol=1e-4)
    assert jnp.abs(probabilities - predict(IMAGES).probabilities[:, :photos]).max() > 1e-5
