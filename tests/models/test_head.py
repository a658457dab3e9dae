"""Modulation by hand (eq. 5), and the decoder on weights that make its output a plain sum."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.models.fusion import STRIDES
from cosseg_jax.models.head import SegmentationHead, modulate
from cosseg_jax.types import FeatureMaps

CHANNELS = (2, 3, 4, 5)


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def maps_of(images: int, height: int, width: int) -> FeatureMaps:
    """Noise of the sizes that a backbone gives for height x width, each side rounded up."""
    shapes = [
        (images, -(-height // stride), -(-width // stride), channels)
        for stride, channels in zip(STRIDES, CHANNELS, strict=True)
    ]
    return FeatureMaps(*(noise(*shape) for shape in shapes))


def from_maps(head: SegmentationHead, maps: FeatureMaps, gamma, prior, *, size: tuple[int, int]):
    """Logits from the backbone's maps: the lateral maps, then everything that follows."""
    return head(head.project(maps), gamma, prior, size)


def plain_sum(maps: FeatureMaps, gamma: float, prior: jax.Array, size: tuple[int, int]):
    """A head of one channel whose convolutions all pass their input on."""
    lateral = dict(kernel=jnp.ones((1, 1, 1, 1)), bias=jnp.zeros(1))
    conv = dict(kernel=jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0), bias=jnp.zeros(1))
    params = {f"lateral_{stride}": lateral for stride in STRIDES}
    params |= {f"conv_{stride}": conv for stride in STRIDES}
    params["predict"] = lateral
    groups = prior.shape[0]
    apply = nn.apply(partial(from_maps, size=size), SegmentationHead(1))
    return apply({"params": params}, maps, jnp.full((groups, 1), gamma), prior)


@pytest.fixture(scope="module")
def head():
    """Two groups of three images of 48 x 64: inputs, variables and the compiled call."""
    maps = maps_of(6, 48, 64)
    gamma, prior = noise(2, 4, seed=1), noise(2, 3, 2, 2, seed=2)
    module, call = SegmentationHead(4), partial(from_maps, size=(48, 64))
    shapes = jax.eval_shape(nn.init(call, module), jax.random.key(0), maps, gamma, prior)
    variables = jax.tree.map(lambda leaf: 0.3 * noise(*leaf.shape), shapes)
    return maps, gamma, prior, variables, jax.jit(nn.apply(call, module))


def test_modulate_by_hand():
    """Two images of one row of two cells; two channels."""
    x = jnp.array([[[[[1.0, 2.0], [3.0, 4.0]]], [[[5.0, 6.0], [7.0, 8.0]]]]])
    gamma = jnp.array([[10.0, 100.0]])
    prior = jnp.array([[[[1.0, -1.0]], [[0.5, 0.0]]]])
    expected = [[[[[11, 201], [29, 399]]], [[[50.5, 600.5], [70, 800]]]]]
    np.testing.assert_array_equal(modulate(x, gamma, prior), np.array(expected, np.float32))


def test_each_group_has_a_gamma_of_its_own():
    x = jnp.ones((2, 1, 1, 1, 3))
    gamma = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    y = modulate(x, gamma, jnp.zeros((2, 1, 1, 1)))
    np.testing.assert_array_equal(y.reshape(2, 3), gamma)


def test_the_prior_is_resized_bilinearly():
    prior = jnp.array([[[[0.0, 1.0], [2.0, 3.0]]]])
    y = modulate(jnp.zeros((1, 1, 2, 4, 1)), jnp.ones((1, 1)), prior)
    expected = np.array([[0, 0.25, 0.75, 1], [2, 2.25, 2.75, 3]])
    np.testing.assert_allclose(y.reshape(2, 4), expected, atol=1e-6)


def test_modulate_keeps_the_type_of_the_maps():
    x = jnp.ones((1, 1, 2, 2, 3), jnp.bfloat16)
    assert modulate(x, jnp.ones((1, 3)), jnp.zeros((1, 1, 1, 1))).dtype == jnp.bfloat16


@pytest.mark.slow
def test_all_four_levels_are_modulated_and_added():
    maps = FeatureMaps(
        *(
            jnp.full((1, 16 // 2**i, 16 // 2**i, 1), value)
            for i, value in enumerate((1.0, 20.0, 300.0, 4000.0))
        )
    )
    logits = plain_sum(maps, gamma=2.0, prior=jnp.full((1, 1, 2, 2), 0.5), size=(64, 64))
    np.testing.assert_allclose(logits, 2 * 4321 + 4 * 0.5, rtol=1e-5)


@pytest.mark.slow
def test_the_prior_stays_with_its_image_and_place():
    maps = FeatureMaps(*(jnp.zeros((2, 16 // 2**i, 16 // 2**i, 1)) for i in range(4)))
    size = 64
    prior = jnp.zeros((1, 2, 2, 2)).at[0, 1, 0, 1].set(1.0)  # top right of the second
    logits = plain_sum(maps, gamma=1.0, prior=prior, size=(size, size))
    assert np.abs(logits[0, 0]).max() == 0
    corners = logits[0, 1, :: size - 1, :: size - 1]
    np.testing.assert_allclose(corners, [[0, 4], [0, 0]], atol=1e-4)


@pytest.mark.parametrize("level", range(4), ids=[f"stride{stride}" for stride in STRIDES])
def test_every_level_counts(head, level):
    maps, gamma, prior, variables, apply = head
    changed = FeatureMaps(*(-x if i == level else x for i, x in enumerate(maps)))
    difference = apply(variables, changed, gamma, prior) - apply(variables, *head[:3])
    assert np.abs(difference).max() > 1e-3


@pytest.mark.parametrize("kind", ["lateral", "conv"])
def test_every_level_has_weights_of_its_own(head, kind):
    """Turning the weights of any one level changes the result, each in another way."""
    maps, gamma, prior, variables, apply = head
    results = [apply(variables, maps, gamma, prior)]
    for stride in STRIDES:
        name = f"{kind}_{stride}"
        turned = jax.tree.map(lambda leaf: -leaf, variables["params"][name])
        params = {**variables["params"], name: turned}
        results.append(apply({"params": params}, maps, gamma, prior))
    for i, one in enumerate(results):
        for other in results[:i]:
            assert np.abs(one - other).max() > 1e-4


def test_images_do_not_influence_one_another(head):
    """What a group shares is in gamma and S alone."""
    maps, gamma, prior, variables, apply = head
    changed = FeatureMaps(*(x.at[0].set(0) for x in maps))
    before, after = (apply(variables, x, gamma, prior) for x in (maps, changed))
    np.testing.assert_allclose(after.reshape(6, -1)[1:], before.reshape(6, -1)[1:], atol=1e-6)
    assert np.abs(after[0, 0] - before[0, 0]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(64, 64), (75, 50), (33, 47), (224, 225)])
def test_logits_have_the_size_of_the_input(height, width):
    maps, size = maps_of(6, height, width), (height, width)
    inputs = (maps, jnp.ones((2, 4)), jnp.zeros((2, 3, *maps.stride32.shape[1:3])))
    call = nn.init_with_output(partial(from_maps, size=size), SegmentationHead(4))
    shape, _ = jax.eval_shape(call, jax.random.key(0), *inputs)
    assert shape.shape == (2, 3, height, width)


def test_bfloat16_gives_float32_logits():
    inputs = (maps_of(1, 32, 32), jnp.ones((1, 4)), jnp.zeros((1, 1, 1, 1)))
    head = SegmentationHead(4, dtype=jnp.bfloat16)
    call = nn.init_with_output(partial(from_maps, size=(32, 32)), head)
    shape, variables = jax.eval_shape(call, jax.random.key(0), *inputs)
    assert shape.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
