"""The category head and its loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from cosseg_jax.models.category import CategoryHead, category_loss
from cosseg_jax.types import FeatureMaps


def toy_maps(rng: np.random.Generator) -> FeatureMaps:
    return FeatureMaps(*(rng.normal(size=(2, s, s, 3)).astype(np.float32) for s in (8, 4, 2, 1)))


def test_every_level_adds_to_the_coarser_one():
    maps = toy_maps(np.random.default_rng(0))
    head = CategoryHead(categories=4)
    variables = head.init(jax.random.key(0), maps)
    logits = head.apply(variables, maps)
    assert [x.shape for x in logits] == [(2, s, s, 5) for s in (8, 4, 2, 1)]
    params = variables["params"]["classify_16"]
    own = np.einsum("mhwc,cl->mhwl", maps.stride16, params["kernel"][0, 0]) + np.asarray(
        params["bias"]
    ).reshape(1, 1, 1, 5)
    np.testing.assert_allclose(logits[2], own + np.asarray(logits[3]), atol=1e-5)


def test_the_loss_of_even_logits_is_the_log_of_their_number():
    logits = tuple(jnp.zeros((1, 1, s, s, 5)) for s in (8, 4, 2, 1))
    maps = np.random.default_rng(0).integers(0, 5, (1, 1, 32, 32)).astype(np.uint8)
    loss = category_loss(logits, maps, np.ones((1, 1, 32, 32), bool))
    np.testing.assert_allclose(loss, np.log(5), rtol=1e-5)


def test_void_asks_for_nothing_and_shares_are_areas():
    """A cell of which a quarter is category 1, a quarter void, the rest none."""
    maps = np.asarray([[1, 0], [0, 0]], np.uint8).reshape(1, 1, 2, 2)
    valid = np.asarray([[True, True], [True, False]]).reshape(1, 1, 2, 2)
    logits = (jnp.asarray([0.0, 2.0, -1.0]).reshape(1, 1, 1, 1, 3),)
    log_p = np.asarray([0.0, 2.0, -1.0]) - np.log(np.exp([0.0, 2.0, -1.0]).sum())
    expected = -(0.25 * log_p[1] + 0.5 * log_p[0])
    np.testing.assert_allclose(category_loss(logits, maps, valid), expected, rtol=1e-5)
