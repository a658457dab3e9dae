"""HRNet equals the network of its authors; its behaviour in training and on odd sizes."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.weights import images, make, unpack_layout, write_pth

from cosseg_jax.models.backbones.hrnet import HRNet, _upsampled
from cosseg_jax.models.pretrained import load_pretrained

pytestmark = pytest.mark.slow

GOLDENS = Path(__file__).parents[1] / "goldens"
NARROW = HRNet(width=8, planes=8, bottlenecks=2, modules=(1, 2, 1), blocks=2)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """The outputs of the authors' network for the narrow variant, by make_hrnet.py."""
    return dict(np.load(GOLDENS / "hrnet.npz"))


@pytest.fixture(scope="module")
def narrow(golden, tmp_path_factory):
    """The variables of the narrow variant, read from a file with the authors' names."""
    path = tmp_path_factory.mktemp("hrnet") / "narrow.pth"
    layout = unpack_layout(golden["layout"])
    write_pth(path, {name: make(name, shape) for name, shape in layout.items()})
    shapes = jax.eval_shape(
        lambda: NARROW.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    )
    return load_pretrained(str(path), "hrnet_w18", shapes)


@pytest.fixture(scope="module")
def trained(narrow):
    """The feature maps and the new statistics of one training call."""
    apply = jax.jit(lambda v, x: NARROW.apply(v, x, train=True, mutable="batch_stats"))
    return apply(narrow, images(2, 64, 64, 3))


@pytest.fixture(scope="module")
def evaluate():
    return jax.jit(lambda v, x: NARROW.apply(v, x, train=False))


def assert_close_on_the_scale_of(golden: np.ndarray, values: jax.Array, tolerance: float = 1e-5):
    """The tolerance is relative to the largest value, as small ones are sums of large terms."""
    np.testing.assert_allclose(values, golden, rtol=0, atol=tolerance * golden.max())


def test_evaluation_agrees_with_the_authors(narrow, golden, evaluate):
    for i, values in enumerate(evaluate(narrow, images(2, 64, 64, 3))):
        assert_close_on_the_scale_of(golden[f"eval{i}"], values)


def test_training_agrees_with_the_authors(trained, golden):
    for i, values in enumerate(trained[0]):
        # Statistics of only 8 values magnify rounding, which differs between processors.
        assert_close_on_the_scale_of(golden[f"train{i}"], values, tolerance=5e-5)


def test_running_mean_agrees_with_the_authors(trained, golden):
    mean = trained[1]["batch_stats"]["bn1"]["mean"]
    np.testing.assert_allclose(mean, golden["bn1_mean"], rtol=1e-4, atol=1e-5)


def test_running_variance_agrees_with_the_authors_but_for_bessels_correction(trained, golden):
    before, n = make("bn1.running_var", (64,)), 2 * 32 * 32
    authors = (golden["bn1_var"] - 0.9 * before) * (n - 1) / n + 0.9 * before
    variance = trained[1]["batch_stats"]["bn1"]["var"]
    np.testing.assert_allclose(variance, authors, rtol=1e-4, atol=1e-5)


def test_evaluation_of_an_image_does_not_depend_on_its_neighbour(narrow, evaluate):
    pair = images(2, 64, 64, 3)
    other = pair.copy()
    other[1] = 3.0
    for one, two in zip(evaluate(narrow, pair), evaluate(narrow, other), strict=True):
        np.testing.assert_array_equal(one[0], two[0])


def test_odd_sides_are_rounded_up_at_every_level():
    shapes = jax.eval_shape(
        lambda: NARROW.init_with_output(jax.random.key(0), jnp.zeros((1, 225, 33, 3)), train=False)[
            0
        ]
    )
    assert [m.shape[1:3] for m in shapes] == [(57, 9), (29, 5), (15, 3), (8, 2)]


def test_upsampling_repeats_cells_and_crops():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    upsampled = _upsampled(x, 2, jnp.zeros((1, 3, 4, 7)))
    np.testing.assert_array_equal(upsampled[0, :, :, 0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]])


def test_statistics_are_shared_by_replicas():
    """Two devices with one image each give the results of one device with both."""
    small = functools.partial(HRNet, 4, 8, bottlenecks=1, planes=4, modules=(1, 0, 0), blocks=1)
    alone, mapped = small(), small(axis_name="all")
    pair = images(2, 32, 32, 3)
    pair[1] *= 3.0
    shapes = jax.eval_shape(lambda: alone.init(jax.random.key(0), pair, train=False))
    variables = jax.tree.map(lambda leaf: 0.1 * images(*leaf.shape) + 0.2, shapes)

    maps, state = jax.jit(lambda v, x: alone.apply(v, x, train=True, mutable="batch_stats"))(
        variables, pair
    )
    replicas, states = jax.pmap(
        lambda v, x: mapped.apply(v, x, train=True, mutable="batch_stats"),
        axis_name="all",
        in_axes=(None, 0),
    )(variables, pair[:, None])

    for one, two in zip(maps, replicas, strict=True):
        np.testing.assert_allclose(two[:, 0], one, rtol=1e-3, atol=1e-3)
    for device in range(2):
        jax.tree.map(
            lambda ours, both: np.testing.assert_allclose(ours, both, rtol=1e-3, atol=1e-4),
            jax.tree.map(lambda leaf: leaf[device], states),  # noqa: B023
            state,
        )
