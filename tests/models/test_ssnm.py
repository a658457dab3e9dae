"""The whole network: what a group's masks must and must not depend on, switches, config."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_ssnm import (
    CATEGORIES,
    FEATURES,
    NETWORK,
    PAPER,
    SIZE,
    assert_close,
    assert_finite,
    blank,
    maps_of,
    square_images,
    variables_of,
)

from configs import hrnet
from cosseg_jax.models.backbones import create_backbone, normalise_images
from cosseg_jax.models.head import SegmentationHead
from cosseg_jax.models.semantic import SemanticOptions
from cosseg_jax.models.ssnm import SSNM, from_config
from cosseg_jax.types import FeatureMaps


@functools.cache
def compiled(network: SSNM):
    """The call on images, in evaluation."""
    return jax.jit(lambda variables, images: network.apply(variables, images, train=False))


@functools.cache
def compiled_on_maps(network: SSNM):
    return jax.jit(
        lambda variables, maps: network.apply(variables, blank(maps), train=False, maps=maps)
    )


@pytest.fixture(scope="module")
def images():
    return square_images(2, 3)


@pytest.fixture(scope="module")
def predicted(images):
    return compiled(NETWORK)(variables_of(NETWORK), images)


@pytest.mark.slow
def test_shapes_of_all_that_is_predicted(predicted):
    assert predicted.mask_logits.shape == (2, 3, SIZE, SIZE)
    assert predicted.class_logits.shape == (2, CATEGORIES)
    assert predicted.gamma.shape == (2, FEATURES)
    assert predicted.prior.values.shape == (2, 3, SIZE // 16, SIZE // 16)
    assert predicted.prior.loss.shape == (2,)


def test_permuting_the_images_permutes_their_masks(images, predicted):
    order = np.array([2, 0, 1])
    other = compiled(NETWORK)(variables_of(NETWORK), images[:, order])
    assert_close(other.mask_logits, predicted.mask_logits[:, order])
    assert_close(other.prior.values, predicted.prior.values[:, order])


def test_permuting_the_images_leaves_gamma_alone(images, predicted):
    other = compiled(NETWORK)(variables_of(NETWORK), images[:, ::-1])
    assert_close(other.gamma, predicted.gamma)
    assert_close(other.class_logits, predicted.class_logits)
    assert_close(other.prior.loss, predicted.prior.loss)


def test_groups_do_not_hear_one_another(images, predicted):
    changed = images.copy()
    changed[0] = square_images(1, 3, seed=1)[0]
    other = compiled(NETWORK)(variables_of(NETWORK), changed)
    for one, before in zip(jax.tree.leaves(other), jax.tree.leaves(predicted), strict=True):
        assert_close(one[1], before[1])
        assert np.abs(one[0] - before[0]).max() > 1e-3 * np.abs(before[0]).max()


def test_the_mask_of_an_image_depends_on_its_group(images, predicted):
    changed = images.copy()
    changed[0, 1:] = 255 - changed[0, 1:]
    other = compiled(NETWORK)(variables_of(NETWORK), changed)
    difference = other.mask_logits[0, 0] - predicted.mask_logits[0, 0]
    assert np.abs(difference).max() > 1e-2 * np.abs(predicted.mask_logits[0, 0]).max()


def test_the_prior_of_an_image_depends_on_its_group(images, predicted):
    """One eigenproblem for the whole group, not one for each image."""
    changed = images.copy()
    changed[0, 1:] = 255 - changed[0, 1:]
    other = compiled(NETWORK)(variables_of(NETWORK), changed).prior.values
    assert np.abs(other[0, 0] - predicted.prior.values[0, 0]).max() > 0.1


@pytest.mark.slow
def test_maps_give_what_their_images_give(images, predicted):
    pixels = images.reshape(-1, SIZE, SIZE, 3).astype(np.float32) / 255
    flat = normalise_images(pixels, "hrnet_tiny")
    variables = variables_of(NETWORK)
    own = {part: tree["backbone"] for part, tree in variables.items()}
    backbone = create_backbone("hrnet_tiny")
    flat_maps = jax.jit(lambda x: backbone.apply(own, x, train=False))(flat)
    maps = FeatureMaps(*(x.reshape(2, 3, *x.shape[1:]) for x in flat_maps))
    other = compiled_on_maps(NETWORK)(variables, maps)
    for one, before in zip(jax.tree.leaves(other), jax.tree.leaves(predicted), strict=True):
        assert_close(one, before)


@pytest.mark.slow
@pytest.mark.parametrize("photos", [1, 2, 5, 7])
def test_one_set_of_parameters_serves_any_number_of_images(photos):
    maps = maps_of(1, photos)
    prediction = compiled_on_maps(PAPER)(variables_of(PAPER), maps)
    assert prediction.mask_logits.shape == (1, photos, SIZE, SIZE)
    assert prediction.prior.values.shape[:2] == (1, photos)
    assert_finite(prediction)


@pytest.mark.slow
def test_parameters_do_not_depend_on_the_group_or_its_size():
    shapes = []
    for maps in (maps_of(1, 1), maps_of(2, 7, size=96)):
        init = functools.partial(NETWORK.init, train=False, maps=maps)
        shapes.append(jax.eval_shape(init, jax.random.key(0), blank(maps)))
    assert shapes[0] == shapes[1]


@pytest.mark.slow
@pytest.mark.parametrize("size", [33, 50, 75])
def test_sizes_that_32_does_not_divide(size):
    images = np.zeros((1, 2, size, size + 1, 3), np.uint8)
    shape = jax.eval_shape(
        lambda: NETWORK.apply(variables_of(NETWORK), images, train=False).mask_logits
    )
    assert shape.shape == (1, 2, size, size + 1)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_prior_has_the_stride_of_the_config(stride):
    network = dataclasses.replace(NETWORK, spatial_stride=stride)
    maps = maps_of(1, 2)
    prediction = jax.eval_shape(
        lambda: network.apply(variables_of(NETWORK), blank(maps), train=False, maps=maps)
    )
    assert prediction.prior.values.shape == (1, 2, SIZE // stride, SIZE // stride)


# Switches


def head_alone(variables, maps: FeatureMaps, gamma, prior):
    flat = FeatureMaps(*(jnp.asarray(x).reshape(-1, *x.shape[2:]) for x in maps))
    head = SegmentationHead(FEATURES).bind({"params": variables["params"]["head"]})
    return head(head.project(flat), gamma, prior, (SIZE, SIZE))


@pytest.mark.slow
def test_without_the_spatial_modulator_S_is_zero():
    network = dataclasses.replace(NETWORK, use_spatial=False)
    variables, maps = variables_of(NETWORK), maps_of(2, 3)
    prediction = compiled_on_maps(network)(variables, maps)
    expected = head_alone(variables, maps, prediction.gamma, jnp.zeros((2, 3, 1, 1)))
    assert not prediction.prior.values.any()
    assert not prediction.prior.loss.any()
    assert_close(prediction.mask_logits, expected)


@pytest.mark.slow
def test_without_the_semantic_modulator_gamma_is_one():
    network = dataclasses.replace(NETWORK, use_semantic=False)
    variables, maps = variables_of(NETWORK), maps_of(2, 3)
    prediction = compiled_on_maps(network)(variables, maps)
    expected = head_alone(variables, maps, jnp.ones((2, FEATURES)), prediction.prior.values)
    assert (prediction.gamma == 1).all()
    assert_close(prediction.mask_logits, expected)


@pytest.mark.parametrize(
    ("switches", "parts"),
    [
        (dict(), {"backbone", "fusion", "semantic", "head"}),
        (dict(use_spatial=False), {"backbone", "semantic", "head"}),
        (dict(use_semantic=False), {"backbone", "fusion", "head"}),
        (dict(use_spatial=False, use_semantic=False), {"backbone", "head"}),
    ],
)
def test_a_modulator_that_is_off_has_no_parameters(switches, parts):
    assert set(variables_of(dataclasses.replace(NETWORK, **switches))["params"]) == parts


@pytest.mark.slow
def test_bfloat16_is_close_to_float32(images, predicted):
    network = dataclasses.replace(NETWORK, dtype=jnp.bfloat16)
    other = compiled(network)(variables_of(NETWORK), images)
    assert {leaf.dtype for leaf in jax.tree.leaves(other)} == {jnp.dtype("float32")}
    assert_close(other.gamma, predicted.gamma, 0.05)
    assert_close(other.class_logits, predicted.class_logits, 0.05)
    assert_close(other.prior.loss, predicted.prior.loss, 0.02)
    ours, theirs = (x.prior.values.reshape(2, -1) for x in (other, predicted))
    cosine = (ours * theirs).mean(axis=1)
    assert (cosine > 0.99).all()
    assert_close(other.mask_logits, predicted.mask_logits, 0.05)


# From the config


def config_of(**fields):
    model = hrnet.get_config().model
    model.update_from_flattened_dict(fields)
    return model


def test_the_config_says_what_is_built():
    network = from_config(
        config_of(dtype="bfloat16", spatial_stride=8, **{"semantic.reduced": 16}), 78, "devices"
    )
    assert (network.backbone, network.categories, network.features) == ("hrnet_w48", 78, 512)
    assert (network.dtype, network.spatial_stride) == (jnp.bfloat16, 8)
    assert network.semantic == SemanticOptions(reduced=16)
    assert network.axis_name == "devices"


def test_the_papers_recipe_is_what_the_options_default_to():
    network = from_config(config_of(), 3)
    assert network == SSNM("hrnet_w48", 3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dtype", "float16", "model.dtype is 'float16'; choose one of: float32, bfloat16"),
        ("backbone", "resnet", "backbone is 'resnet'; choose one of.* vgg16, .*hrnet_tiny"),
        ("features", 0, "model.features is 0; it takes 1 or more"),
        ("spatial_stride", 4, "model.spatial_stride is 4; choose 8, 16 or 32"),
        ("spatial.solver", "qr", "model.spatial.solver is 'qr'; choose one of"),
        ("semantic.pooling", "third", "model.semantic.pooling is 'third'; choose one of"),
    ],
)
def test_bad_fields_are_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        from_config(config_of(**{field: value}), 3)


def test_an_empty_group_is_refused():
    with pytest.raises(ValueError, match=r"N = 0.*at least one image"):
        NETWORK.apply(variables_of(NETWORK), np.zeros((1, 0, SIZE, SIZE, 3), np.uint8), train=False)
