"""Gradients of the whole network: finite in every degenerate case, none in a frozen backbone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_ssnm import (
    CATEGORIES,
    PAPER,
    assert_finite,
    blank,
    maps_of,
    square_images,
    variables_of,
)
from toy_networks import ToyBackbone, drawn_variables

from configs import hrnet
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.spatial import SpatialOptions
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.train.losses import total_loss
from cosseg_jax.types import FeatureMaps, GroupBatch

pytestmark = pytest.mark.slow
LOSSES = hrnet.get_config().loss.to_dict()


@functools.cache
def gradient_of(network: SSNM):
    """Compiled, in training: the total loss's gradient for all parameters; new statistics."""

    def loss(params, stats, images, maps=None):
        prediction, updated = network.apply(
            {"params": params, "batch_stats": stats},
            images,
            train=True,
            maps=maps,
            mutable=["batch_stats"],
        )
        batch = GroupBatch(
            None,
            masks=jnp.zeros(images.shape[:-1]).at[..., :8, :8].set(1.0),
            valid=jnp.ones(images.shape[:-1], bool),
            labels=jnp.eye(CATEGORIES)[: images.shape[0]],
        )
        return total_loss(prediction, batch, **LOSSES).total, updated["batch_stats"]

    def gradient(variables, *inputs):
        take = jax.grad(loss, has_aux=True)
        return take(variables["params"], variables["batch_stats"], *inputs)

    return jax.jit(gradient)


@pytest.mark.parametrize("kind", ["varied", "black", "identical"])
def test_gradients_are_finite(kind):
    images = square_images(1, 2)
    if kind == "black":
        images = np.zeros_like(images)
    elif kind == "identical":
        images = np.repeat(images[:, :1], 2, axis=1)
    gradients, statistics = gradient_of(PAPER)(variables_of(PAPER), images)
    assert_finite(gradients)
    assert_finite(statistics)
    for part in ("backbone", "head") if kind == "black" else gradients:
        assert any(leaf.any() for leaf in jax.tree.leaves(gradients[part])), part


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradients_are_finite_on_constant_maps(value):
    network = dataclasses.replace(PAPER, spatial=SpatialOptions(gradient="implicit"))
    maps = FeatureMaps(*(np.full_like(x, value) for x in maps_of(1, 2)))
    gradients, _ = gradient_of(network)(variables_of(PAPER), blank(maps), maps)
    assert_finite(gradients)


def test_gradients_are_finite_for_a_single_descriptor():
    """One image of 32 x 32 has one cell at stride 32."""
    network = dataclasses.replace(PAPER, spatial=SpatialOptions(gradient="implicit"))
    maps = maps_of(1, 1, size=32)
    gradients, _ = gradient_of(network)(variables_of(PAPER), blank(maps), maps)
    assert_finite(gradients)


def test_freezing_stops_the_backbones_gradient_and_statistics(monkeypatch):
    monkeypatch.setitem(BACKBONES, "toy", ToyBackbone)
    network = dataclasses.replace(PAPER, backbone="toy", freeze_backbone=True)
    images = square_images(1, 2)
    variables = drawn_variables(network, images)
    gradients, statistics = gradient_of(network)(variables, images)
    for part in gradients:
        moved = any(leaf.any() for leaf in jax.tree.leaves(gradients[part]))
        assert moved == (part != "backbone"), part
    kept = jax.tree.map(np.array_equal, statistics, variables["batch_stats"])
    assert all(jax.tree.leaves(kept))
