"""VGG16 equals layers of PyTorch and an explicit convolution."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.weights import images, make, unpack_layout, write_pth

from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import create_backbone
from cosseg_jax.models.pretrained import load_pretrained

GOLDENS = Path(__file__).parents[1] / "goldens"


def shapes_of(net):
    pixels = jnp.zeros((1, 32, 32, 3))
    return jax.eval_shape(lambda: net.init(jax.random.key(0), pixels, train=False))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """The outputs of PyTorch's layers, by make_vgg.py."""
    return dict(np.load(GOLDENS / "vgg16_bn.npz"))


@pytest.fixture(scope="module")
def variables(golden, tmp_path_factory):
    """The variables of VGG16-BN, read from a file with torchvision's names."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16_bn.pth"
    layout = unpack_layout(golden["layout"])
    write_pth(path, {name: make(name, shape) for name, shape in layout.items()})
    return load_pretrained(str(path), "vgg16_bn", shapes_of(create_backbone("vgg16_bn")))


def test_maps_agree_with_pytorch_on_sides_that_are_not_multiples_of_32(variables, golden):
    net = create_backbone("vgg16_bn")
    maps = jax.jit(lambda v, x: net.apply(v, x, train=False))(variables, images(1, 35, 47, 3))
    for pool, values in enumerate(maps, start=2):
        np.testing.assert_allclose(values[..., ::8], golden[f"pool{pool}"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_statistics_are_shared_by_replicas(variables):
    """Two devices with one image each learn the running mean of one device with both."""
    pair = images(2, 32, 32, 3)
    pair[1] += 1.0

    def statistics(axis_name: str | None):
        net = create_backbone("vgg16_bn", axis_name=axis_name)
        return lambda v, x: net.apply(v, x, train=True, mutable="batch_stats")[1]

    together = jax.jit(statistics(None))(variables, pair)["batch_stats"]
    replicas = jax.pmap(statistics("all"), axis_name="all", in_axes=(None, 0))
    apart = replicas(variables, pair[:, None])["batch_stats"]
    for device in range(2):
        for layer in ("bn1_1", "bn3_2"):
            ours = apart[layer]["mean"][device]
            np.testing.assert_allclose(ours, together[layer]["mean"], rtol=1e-3, atol=1e-4)


def test_running_mean_has_momentum_0_9(variables):
    """It is checked on the first layer, whose convolution is computed explicitly here."""
    net, pixels = create_backbone("vgg16_bn"), images(1, 32, 32, 3)

    def moved(v, x):
        state = net.apply(v, x, train=True, mutable="batch_stats")[1]
        return state["batch_stats"]["bn1_1"]["mean"]

    padded = np.pad(pixels[0], ((1, 1), (1, 1), (0, 0)))
    conv = variables["params"]["conv1_1"]
    windows = np.stack(
        [padded[i : i + 32, j : j + 32] for i in range(3) for j in range(3)]
    )  # [9, H, W, 3]
    kernel = np.asarray(conv["kernel"]).reshape(9, 3, 64)  # [9, 3, 64]
    mean = np.einsum("khwi,kio->o", windows, kernel) / 32**2 + np.asarray(conv["bias"])  # [64]
    before = np.asarray(variables["batch_stats"]["bn1_1"]["mean"])
    after = jax.jit(moved)(variables, pixels)
    np.testing.assert_allclose(after, 0.9 * before + 0.1 * mean, rtol=1e-4, atol=1e-5)


def test_plain_net_has_no_statistics():
    assert shapes_of(create_backbone("vgg16")).keys() == {"params"}


def test_a_plain_network_of_ones_follows_its_recursion():
    """With kernels of 1 / inputs and biases of 1, a layer maps x to 9x + 1 far from borders."""
    net = create_backbone("vgg16")
    flat = jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            jnp.full(leaf.shape, 1 / leaf.shape[2])
            if path[-1].key == "kernel"
            else jnp.ones(leaf.shape)
        ),
        shapes_of(net),
    )
    finest = jax.jit(lambda v, x: net.apply(v, x, train=False))(flat, jnp.ones((1, 64, 64, 3)))[0]
    x = 1.0
    for _ in range(4):
        x = 9 * x + 1
    np.testing.assert_allclose(finest[0, 8, 8], x, rtol=1e-5)


def test_images_too_small_for_five_poolings_are_refused():
    net = create_backbone("vgg16")
    with pytest.raises(UserError, match=r"at least 32 x 32 pixels, found \(31, 64\)"):
        jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 31, 64, 3)), train=False))
