"""Further iterations: the pooling weights, and that a call is made of the network's steps."""

import dataclasses

import jax
import numpy as np
import pytest
from small_ssnm import (
    NETWORK,
    SIZE,
    assert_close,
    assert_finite,
    blank,
    maps_of,
    square_images,
    variables_of,
)

from configs import hrnet
from cosseg_jax.models.semantic import FLOOR, mask_pooling_weights
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.types import flattened, in_groups

TWO = dataclasses.replace(NETWORK, num_iterations=2)
CELLS = SIZE // 32


def call(network, images, **arguments):
    variables = variables_of(NETWORK)
    return jax.jit(lambda x: network.apply(variables, x, train=False, **arguments))(images)


@pytest.mark.parametrize("share", [0.5, 0.75, 1.0])
def test_part_of_a_cells_weight_is_its_share_of_the_mask(share):
    probabilities = np.zeros((1, 8, 8), np.float32)
    probabilities[:, :4, :4] = 1.0
    # Of a row's 8 pixels the triangle over 2 cells gives 6/7 of the first four to the first cell.
    near, far = 6 / 7, 1 / 7
    cells = np.outer([near, far], [near, far]) + FLOOR
    expected = share * cells / cells.sum() + (1 - share) / 4
    found = mask_pooling_weights(probabilities, None, 2, 2, share=share)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_an_empty_mask_pools_all_cells_alike():
    found = mask_pooling_weights(np.zeros((2, 8, 8), np.float32), None, 2, 4, share=0.5)
    np.testing.assert_allclose(found, np.full((2, 2, 4), 1 / 8), rtol=1e-6)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_no_iteration_pools_outside_a_prompt(share):
    prompt = np.zeros((1, 2, 2), np.float32)
    prompt[0, 1] = 0.5
    probabilities = np.zeros((1, 8, 8), np.float32)
    probabilities[:, :, :4] = 1.0  # found is the left half, prompted the lower one
    near, far = 6 / 7 + FLOOR, 1 / 7 + FLOOR  # as above
    left, right = (share * part / (near + far) + (1 - share) / 2 for part in (near, far))
    found = mask_pooling_weights(probabilities, prompt, 2, 2, share=share)
    np.testing.assert_allclose(found[0], [[0, 0], [left, right]], rtol=1e-5)


@pytest.mark.slow
def test_the_first_iteration_is_the_papers_network():
    images = square_images(2, 3)
    once, twice = call(NETWORK, images), call(TWO, images)
    assert once.earlier == ()
    (first,) = twice.earlier
    assert_close(first.mask_logits, once.mask_logits)
    assert_close(first.class_logits, once.class_logits)
    assert np.abs(twice.gamma - once.gamma).max() > 1e-3
    assert_close(twice.prior.values, once.prior.values)


@pytest.mark.slow
def test_the_second_iteration_pools_under_the_masks():
    maps, variables = maps_of(1, 3), variables_of(NETWORK)
    found = TWO.apply(variables, blank(maps), train=False, maps=maps)
    masks = flattened(found.earlier[0].mask_logits)
    weights = mask_pooling_weights(jax.nn.sigmoid(masks), None, CELLS, CELLS, share=0.5)
    encoding = NETWORK.apply(variables, flattened(maps), method="project")
    statistics = NETWORK.apply(variables, encoding, weights, method="pool")
    grouped = in_groups((encoding.fused, statistics), 1, 3)
    context = NETWORK.apply(variables, *grouped, 1, 3, method="aggregate")
    assert_close(found.gamma, context.semantics.gamma)
    expected = NETWORK.apply(variables, encoding, context, (SIZE, SIZE), method="segment")
    assert_close(found.mask_logits, expected)


@pytest.mark.slow
def test_permuting_the_images_permutes_the_masks_of_every_iteration():
    images, order = square_images(1, 3), np.array([2, 0, 1])
    one, other = call(TWO, images), call(TWO, images[:, order])
    assert_close(other.mask_logits, one.mask_logits[:, order])
    assert_close(other.gamma, one.gamma)


@pytest.mark.slow
def test_gradients_hold_the_pooling_weights_constant():
    maps, variables = maps_of(1, 2), variables_of(NETWORK)

    def gamma_of(params):
        found = TWO.apply(variables | {"params": params}, blank(maps), train=False, maps=maps)
        return found.gamma.sum()

    gradients = jax.grad(gamma_of)(variables["params"])
    assert_finite(gradients)
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradients["head"]))
    assert any(leaf.any() for leaf in jax.tree.leaves(gradients["semantic"]))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_iterations", 0, "model.num_iterations is 0; it takes 1 or more"),
        ("mask_pooling_weight", 1.5, "model.mask_pooling_weight is 1.5; it takes 0 to 1"),
        ("use_semantic", False, "model.num_iterations is 2, but model.use_semantic is False"),
    ],
)
def test_invalid_iterations_are_named(field, value, message):
    model = hrnet.get_config().model
    model.num_iterations = 2
    model[field] = value
    with pytest.raises(ValueError, match=message):
        from_config(model, 3)
