"""The authors' released network: parity with their own code, and its parts by hand."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from goldens.released_weights import GRID, group, tensor
from goldens.weights import unpack_layout, write_pth

import cosseg_jax
from cosseg_jax.cli.main import main
from cosseg_jax.models.released.network import ReleasedSSNM
from cosseg_jax.models.released.pooling import OrderedPooling
from cosseg_jax.models.released.spatial_step import spatial_step
from cosseg_jax.models.ssnm import initial_variables

GOLDENS = Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """What the authors' code gave, by make_released.py."""
    return dict(np.load(GOLDENS / "released.npz"))


def descriptors() -> tuple[np.ndarray, np.ndarray]:
    """Those of make_released.py: without and with clusters."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 7, 7, 64)).astype(np.float32)
    clusters = noise.copy()
    clusters[:, 2:5, 2:5] += 2 * rng.standard_normal(64).astype(np.float32)
    return noise, clusters


@pytest.mark.slow
def test_a_converted_file_agrees_with_the_authors_code(golden, tmp_path):
    path, folder, layout = tmp_path / "a.pth", tmp_path / "ssnm", unpack_layout(golden["layout"])
    write_pth(path, {name: tensor(name, shape) for name, shape in layout.items()})
    assert main(["convert", "ssnm", str(path), "--out", str(folder)]) == 0
    found = cosseg_jax.load(folder)(list(group()))
    masks = np.stack([image.probability_map for image in found.images])
    np.testing.assert_allclose(masks[:, GRID, GRID], golden["masks"], atol=1e-5)
    np.testing.assert_allclose(list(found.categories.values()), golden["classes"], atol=1e-5)
    priors = np.stack([image.prior for image in found.images])
    np.testing.assert_allclose(priors, golden["prior"], atol=1e-5)
    assert golden["masks"].std() > 0.1  # they are not all alike


def test_the_spatial_step_follows_pytorchs_adam(golden):
    found = jax.jit(spatial_step)(np.stack(descriptors())).values
    np.testing.assert_allclose(found[0], golden["prior_of_noise"], atol=1e-5)
    np.testing.assert_allclose(found[1], golden["prior_of_clusters"], atol=1e-5)


def cosine_to_eigenvector(x: np.ndarray, prior: np.ndarray) -> float:
    rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vector = np.linalg.eigh(rows @ rows.T - 1)[1][:, -1]
    return float(abs(vector @ prior.ravel()) / np.linalg.norm(prior))


def test_the_spatial_step_ends_far_from_the_eigenvector_without_clusters(golden):
    noise, clusters = descriptors()
    assert cosine_to_eigenvector(noise, golden["prior_of_noise"]) < 0.5
    assert cosine_to_eigenvector(clusters, golden["prior_of_clusters"]) > 0.99


def test_a_zero_descriptor_makes_no_nan():
    x = descriptors()[1][None]
    x[0, 0, 0, 0] = 0
    assert np.isfinite(jax.jit(spatial_step)(x).values).all()


def test_pooling_mixes_images_and_channels():
    """The upper level reads [N, C] as [C, N]; by loops over the flat array here."""
    pooling, rng = OrderedPooling(features=3, categories=2), np.random.default_rng(0)
    statistics = rng.standard_normal((1, 5, 6)).astype(np.float32)
    shapes = jax.eval_shape(lambda: pooling.init(jax.random.key(0), statistics, method="aggregate"))
    variables = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), shapes)
    found: Any = pooling.apply(variables, statistics, method="aggregate")
    weights, flat = variables["params"], statistics.ravel()
    reduced = np.zeros((32, 5))
    for k in range(32):
        for n in range(5):
            reduced[k, n] = weights["reduce_group"]["bias"][k] + sum(
                weights["reduce_group"]["kernel"][0, 0, c, k] * flat[5 * c + n] for c in range(6)
            )
    reduced = np.maximum(reduced, 0)
    gamma = (reduced @ reduced.T).ravel() @ weights["gamma"]["kernel"] + weights["gamma"]["bias"]
    np.testing.assert_allclose(found.gamma[0], np.maximum(gamma, 0), rtol=1e-4, atol=1e-3)
    turned: Any = pooling.apply(variables, statistics[:, ::-1], method="aggregate")
    assert not np.allclose(turned.gamma, found.gamma, rtol=0.01)  # the images' order counts


def test_it_has_the_released_number_of_parameters():
    shapes = jax.eval_shape(lambda: initial_variables(ReleasedSSNM(), seed=0))
    assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == 40_830_450
