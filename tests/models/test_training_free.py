"""The split of a group's descriptors without training, on descriptors that are drawn here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.models.networks import network_of
from cosseg_jax.models.spatial import SpatialOptions, spatial_modulator
from cosseg_jax.models.training_free import TrainingFree, resplit

CHANNELS, SIDE = 16, 6


def drawn_group(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors and masks: one object vector, similar backgrounds of the images, noise."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, SIDE, SIDE), bool)
    for mask in masks:
        row, column = rng.integers(1, 3, 2)
        mask[row : row + 3, column : column + 3] = True
    shared, ground = rng.standard_normal((2, CHANNELS))
    own = ground + 0.5 * rng.standard_normal((images, CHANNELS))
    clean = np.where(masks[..., None], shared, own[:, None, None])
    noise = 0.3 * rng.standard_normal(clean.shape)
    return (clean + noise).astype(np.float32), masks


@pytest.mark.parametrize("images", [2, 5])
def test_prototypes_correct_a_split_that_is_partly_wrong(images):
    x, masks = drawn_group(images)
    prior = np.where(masks, 1.0, -1.0).astype(np.float32)
    prior[:, 2] *= -1  # a row of each image on the wrong side
    found = np.asarray(resplit(x, prior))
    assert np.mean((found > 0) == masks) > 0.99
    assert np.mean((prior > 0) == masks) < 0.9
    np.testing.assert_allclose(np.mean(found**2), 1, rtol=1e-3)


def test_the_order_of_the_images_does_not_matter():
    x, masks = drawn_group(4)
    prior = np.where(masks, 1.0, -0.5).astype(np.float32)
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(resplit(x, prior)[order], resplit(x[order], prior[order]), atol=1e-5)


def test_equal_descriptors_give_finite_values():
    x = np.ones((2, SIDE, SIDE, CHANNELS), np.float32)
    assert np.isfinite(resplit(x, np.zeros((2, SIDE, SIDE), np.float32))).all()
    assert np.isfinite(resplit(0 * x, np.ones((2, SIDE, SIDE), np.float32))).all()


@pytest.mark.slow
def test_the_group_context_is_the_corrected_prior_and_no_category():
    x, masks = drawn_group(5)
    options = SpatialOptions(descriptors="centred", sign="border")
    network = TrainingFree("vgg16", spatial_stride=16, spatial=options)
    context = jax.jit(lambda fused: network.apply({}, fused, None, 1, 5, method="aggregate"))(
        x[None]
    )
    prior = spatial_modulator(jnp.asarray(x[None]), options)
    np.testing.assert_allclose(
        context.prior.values[0], resplit(x, prior.values[0]), rtol=1e-3, atol=1e-4
    )
    assert np.mean((np.asarray(context.prior.values[0]) > 0) == masks) > 0.95
    assert context.semantics.class_logits.shape == (1, 0)


def test_a_config_builds_it_and_bad_values_are_named():
    fields = dict(training_free=True, backbone="vgg16", pretrained="hub", spatial_stride=16)
    model = ConfigDict(fields | {"spatial": dict(descriptors="centred")})
    assert network_of(model, 0).spatial_stride == 16
    for name, value, message in (
        ("spatial_stride", 7, "choose 8, 16 or 32"),
        ("backbone", "x", "vgg16"),
    ):
        with pytest.raises(UserError, match=message):
            network_of(ConfigDict({**model, name: value}), 0)
