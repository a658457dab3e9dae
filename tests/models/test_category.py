"""The category head, computed by hand."""

import jax
import numpy as np

from cosseg_jax.models.category import CategoryHead
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
