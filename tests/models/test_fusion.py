"""Fusion of the backbone's feature maps: sizes, sums by hand, and the use of every level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.models.fusion import STRIDES, Fusion
from cosseg_jax.models.layers import resize
from cosseg_jax.types import FeatureMaps

CHANNELS = (2, 3, 4, 5)
OUTPUTS = (32, 16, 8)


def maps_of(height: int, width: int) -> FeatureMaps:
    """Noise of the shapes that a backbone returns for height x width, each side rounded up."""
    rng = np.random.default_rng(0)
    shapes = [
        (2, -(-height // stride), -(-width // stride), channels)
        for stride, channels in zip(STRIDES, CHANNELS, strict=True)
    ]
    return FeatureMaps(*(jnp.asarray(rng.random(shape), jnp.float32) for shape in shapes))


def plain_sum(stride: int):
    """A fusion of one-channel maps whose convolutions are the identity."""
    kernel = dict(kernel=jnp.ones((1, 1, 1, 1)), bias=jnp.zeros(1))
    params = {f"conv_{level}": kernel for level in STRIDES}
    return lambda maps: Fusion(1, stride).apply({"params": params}, FeatureMaps(*maps))


@pytest.fixture(scope="module", params=OUTPUTS)
def fused(request):
    """Maps of a 64 x 96 image and the compiled fusion of them, for each stride of the result."""
    fusion, maps = Fusion(6, request.param), maps_of(64, 96)
    shapes = jax.eval_shape(fusion.init, jax.random.key(0), maps)
    rng = np.random.default_rng(1)
    variables = jax.tree.map(lambda leaf: rng.uniform(0, 1, leaf.shape).astype(np.float32), shapes)
    return maps, jax.jit(lambda maps: fusion.apply(variables, maps))


@pytest.mark.parametrize("stride", OUTPUTS)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 50), (33, 32)])
def test_the_result_has_the_size_of_its_stride(stride, height, width):
    maps, fusion = maps_of(height, width), Fusion(6, stride)
    shape, _ = jax.eval_shape(fusion.init_with_output, jax.random.key(0), maps)
    assert shape.shape == (2, -(-height // stride), -(-width // stride), 6)


@pytest.mark.parametrize("level", range(4), ids=[f"stride{stride}" for stride in STRIDES])
def test_the_result_depends_on_every_level(fused, level):
    maps, apply = fused
    changed = FeatureMaps(*(x + 1 if i == level else x for i, x in enumerate(maps)))
    assert np.abs(apply(changed) - apply(maps)).max() > 1e-2


def test_images_do_not_depend_on_one_another(fused):
    maps, apply = fused
    changed = FeatureMaps(*(x.at[0].set(0) for x in maps))
    np.testing.assert_allclose(apply(changed)[1], apply(maps)[1], rtol=1e-6)


def test_descriptors_are_not_negative(fused):
    maps, apply = fused
    assert apply(FeatureMaps(*(x - 0.5 for x in maps))).min() >= 0


@pytest.mark.parametrize("stride", OUTPUTS)
def test_levels_add_up(stride):
    values = {(19, 13): 1.0, (10, 7): 20.0, (5, 4): 300.0, (3, 2): 4000.0}
    maps = [jnp.full((1, *size, 1), value) for size, value in values.items()]
    np.testing.assert_allclose(plain_sum(stride)(maps), 4321.0, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stride", OUTPUTS)
@pytest.mark.parametrize("level", range(4), ids=[f"stride{stride}" for stride in STRIDES])
def test_regions_keep_their_place(stride, level):
    """A value in the top left quarter of one level appears in that of the result."""
    maps = [jnp.zeros((1, 16 // 2**i, 16 // 2**i, 1)) for i in range(4)]
    half = maps[level].shape[1] // 2
    maps[level] = maps[level].at[:, :half, :half].set(1.0)
    result = plain_sum(stride)(maps)[0, :, :, 0]
    side = result.shape[0] // 2
    inside, whole = result[:side, :side].sum(), result.sum()
    assert inside > 0.6 * whole
    np.testing.assert_allclose(result, result.T, atol=1e-6)


def test_resize_averages_when_it_shrinks():
    x = jnp.asarray(np.tile([8.0, 0.0, 0.0, 0.0], 4), jnp.float32).reshape(1, 1, 16, 1)
    middle = resize(x, 1, 4)[0, 0, 1:-1, 0]
    np.testing.assert_allclose(
        middle, 2.0, atol=0.3
    )  # sampling single cells or pairs would give 0, 4 or 8


@pytest.mark.parametrize("stride", [4, 64])
def test_another_stride_is_refused(stride):
    with pytest.raises(UserError, match=f"model.spatial_stride is {stride}; choose 8, 16 or 32"):
        plain_sum(stride)([jnp.ones((1, 1, 1, 1))] * 4)
