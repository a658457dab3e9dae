"""Every backbone by name: sizes, channels, parameter counts, and the normalisation of images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import (
    BACKBONES,
    NORMALISATIONS,
    create_backbone,
    normalise_images,
)

CHANNELS = {
    "vgg16": (128, 256, 512, 512),
    "vgg16_bn": (128, 256, 512, 512),
    "hrnet_w18": (18, 36, 72, 144),
    "hrnet_w32": (32, 64, 128, 256),
    "hrnet_w48": (48, 96, 192, 384),
    "resnet50": (256, 512, 1024, 2048),
    "resnet50_keras": (256, 512, 1024, 2048),
    "dinov2_small": (384,) * 4,
    "dinov2_base": (768,) * 4,
    "dinov2_reg_small": (384,) * 4,
    "dinov2_reg_base": (768,) * 4,
    "dinov3_small": (384,) * 4,
    "dinov3_base": (768,) * 4,
    "hrnet_tiny": (8, 16, 32, 64),
}


@functools.cache
def shapes_of(name: str):
    """The shapes of the feature maps of two 96 x 64 images, and of the variables."""
    net, images = create_backbone(name), jnp.zeros((2, 96, 64, 3))
    return jax.eval_shape(lambda: net.init_with_output(jax.random.key(0), images, train=False))


def count(name: str) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(shapes_of(name)[1]["params"]))


def hrnet_head(width: int) -> int:
    """Parameters of the classification head of HRNet-W*-C: bottlenecks, downsampling, linear."""
    total = 0
    for i in range(4):
        inner, wide, narrow = 32 * 2**i, 128 * 2**i, width * 2**i
        total += narrow * inner + 9 * inner**2 + inner * wide + narrow * wide  # convolutions
        total += 2 * (inner + inner + wide + wide)  # normalisations
        if i > 0:
            total += 9 * (wide // 2) * wide + wide + 2 * wide  # from the finer level, with bias
    return total + (1024 * 2048 + 2048 + 2 * 2048) + (2048 * 1000 + 1000)


def test_channels_cover_every_backbone():
    assert CHANNELS.keys() == BACKBONES.keys() - {"toy"}  # which tests of training add


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.startswith("hrnet_w") else [])
        for name in BACKBONES
    ],
)
def test_maps_have_strides_4_to_32(name: str):
    maps, _ = shapes_of(name)
    sides = [(24, 16), (12, 8), (6, 4), (3, 2)]
    assert [m.shape for m in maps] == [
        (2, *side, c) for side, c in zip(sides, CHANNELS[name], strict=True)
    ]


@pytest.mark.parametrize(("name", "published"), [("vgg16", 14_714_688), ("vgg16_bn", 14_723_136)])
def test_vgg_has_the_published_number_of_parameters(name: str, published: int):
    assert count(name) == published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "published"), [(18, 21_299_004), (32, 41_232_680), (48, 77_469_864)]
)
def test_hrnet_has_the_published_number_of_parameters(width: int, published: int):
    assert count(f"hrnet_w{width}") + hrnet_head(width) == published


@pytest.mark.parametrize(
    ("name", "published"), [("resnet50", 25_557_032), ("resnet50_keras", 25_583_592)]
)
def test_resnet_has_the_published_number_of_parameters(name: str, published: int):
    """Keras's count of 25,636,712 includes statistics; 25,583,592 parameters are trained."""
    assert count(name) + 2048 * 1000 + 1000 == published


@pytest.mark.parametrize("name", ["vgg16_bn", "hrnet_tiny", "resnet50"])
def test_bfloat16_computes_in_bfloat16_with_float32_variables(name: str):
    net = create_backbone(name, dtype=jnp.bfloat16)
    images = jnp.zeros((1, 32, 32, 3))
    maps, variables = jax.eval_shape(
        lambda: net.init_with_output(jax.random.key(0), images, train=False)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert {m.dtype for m in maps} == {jnp.dtype("bfloat16")}


def test_an_unknown_backbone_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"'resnet34'; choose one of: vgg16, .*hrnet_tiny"):
        create_backbone("resnet34")


def test_normalised_images_have_mean_0_and_deviation_1():
    images = np.array([[[[0.485, 0.456, 0.406], [1.0, 1.0, 1.0]]]], np.float32)
    expected = [[0, 0, 0], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]]
    np.testing.assert_allclose(
        normalise_images(images, "vgg16")[0, 0], expected, rtol=1e-6, atol=1e-6
    )


def test_the_keras_resnet_expects_bytes_in_the_order_blue_green_red():
    red = np.array([[[[1.0, 0.0, 0.0]]]], np.float32)
    expected = [-103.939, -116.779, 255 - 123.68]
    np.testing.assert_allclose(
        normalise_images(red, "resnet50_keras")[0, 0, 0], expected, rtol=1e-6
    )


def test_normalisations_belong_to_backbones():
    assert NORMALISATIONS.keys() <= BACKBONES.keys()
