"""ResNet-50 equals torchvision's, recognises real images, and can be frozen."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.weights import images, make, unpack_layout, write_pth
from PIL import Image
from toy_networks import drawn_variables

from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import BACKBONES, create_backbone, normalise_images
from cosseg_jax.models.backbones.resnet import ResNet
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.ssnm import SSNM
from cosseg_jax.types import FeatureMaps

GOLDENS = Path(__file__).parents[1] / "goldens"
SHORT = (2, 1, 1, 1)  # blocks of the goldens' network
NARROW = {"width": 4, "blocks": (1, 1, 1, 1)}


def shapes_of(net: ResNet):
    pixels = jnp.zeros((1, 32, 32, 3))
    return jax.eval_shape(lambda: net.init(jax.random.key(0), pixels, train=False))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """The outputs of torchvision's network, by make_resnet.py."""
    return dict(np.load(GOLDENS / "resnet.npz"))


@pytest.fixture(scope="module")
def read(golden, tmp_path_factory):
    """Reads the variables of a variant from a file with torchvision's names."""

    def read(variant: str, layout: str):
        path = tmp_path_factory.mktemp("resnet") / f"{variant}.pth"
        shapes = unpack_layout(golden[layout])
        write_pth(path, {name: make(name, shape) for name, shape in shapes.items()})
        return load_pretrained(str(path), "resnet50", shapes_of(ResNet(variant, blocks=SHORT)))

    return read


@pytest.fixture(scope="module")
def torchvision(read):
    return read("torchvision", "layout")


@pytest.fixture(scope="module")
def trained(torchvision):
    """The feature maps and the new statistics of one training call."""
    net = ResNet(blocks=SHORT)
    apply = jax.jit(lambda v, x: net.apply(v, x, train=True, mutable="batch_stats"))
    return apply(torchvision, images(2, 70, 58, 3))


def assert_agree(maps, golden: dict[str, np.ndarray], mode: str):
    for i, values in enumerate(maps):
        expected = golden[f"{mode}{i}"]
        np.testing.assert_allclose(values[..., ::32], expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.slow
def test_evaluation_agrees_with_torchvision(torchvision, golden):
    net = ResNet(blocks=SHORT)
    maps = jax.jit(lambda v, x: net.apply(v, x, train=False))(torchvision, images(2, 70, 58, 3))
    assert_agree(maps, golden, "eval")


@pytest.mark.slow
def test_training_agrees_with_torchvision(trained, golden):
    assert_agree(trained[0], golden, "train")


def test_running_mean_agrees_with_torchvision(trained, golden):
    mean = trained[1]["batch_stats"]["bn1"]["mean"]
    np.testing.assert_allclose(mean, golden["bn1_mean"], rtol=1e-4, atol=1e-5)


def test_the_keras_variant_agrees_with_torchvisions_network_converted_to_it(read, golden):
    net, variables = ResNet("keras", blocks=SHORT), read("keras", "layout_keras")
    maps = jax.jit(lambda v, x: net.apply(v, x, train=False))(variables, images(2, 70, 58, 3))
    assert_agree(maps, golden, "keras")


@pytest.mark.slow
def test_statistics_of_the_keras_variant_have_momentum_0_99():
    """The stem with bias 0 has the same input in both variants."""
    pixels, moved = images(2, 32, 32, 3), {}
    for variant in ("torchvision", "keras"):
        net = ResNet(variant, **NARROW)
        ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), shapes_of(net))
        ones["params"]["conv1"]["bias"] = jnp.zeros(4)
        train = jax.jit(lambda v, net=net: net.apply(v, pixels, train=True, mutable="batch_stats"))
        state = train(ones)[1]
        moved[variant] = state["batch_stats"]["bn1"]["mean"] - 1
    np.testing.assert_allclose(10 * moved["keras"], moved["torchvision"], rtol=1e-4)


@pytest.mark.slow
def test_statistics_are_shared_by_replicas():
    """Two devices with one image each give the results of one device with both."""
    alone, mapped = ResNet(**NARROW), ResNet(**NARROW, axis_name="all")
    pair = images(2, 32, 32, 3)
    pair[1] *= 3.0
    variables = drawn_variables(alone, pair)
    together = jax.jit(lambda v, x: alone.apply(v, x, train=True, mutable="batch_stats"))
    maps, state = together(variables, pair)
    replicas, states = jax.pmap(
        lambda v, x: mapped.apply(v, x, train=True, mutable="batch_stats"),
        axis_name="all",
        in_axes=(None, 0),
    )(variables, pair[:, None])
    np.testing.assert_allclose(replicas.stride4[:, 0], maps.stride4, rtol=1e-3, atol=1e-3)
    for device in range(2):
        ours = states["batch_stats"]["layer1_0"]["bn2"]["var"][device]
        both = state["batch_stats"]["layer1_0"]["bn2"]["var"]
        np.testing.assert_allclose(ours, both, rtol=1e-3, atol=1e-4)


def test_an_unknown_variant_lists_the_valid_ones():
    with pytest.raises(UserError, match=r"variant is 'caffe'; .*: torchvision, keras"):
        shapes_of(ResNet("caffe"))


@pytest.mark.slow
def test_a_frozen_backbone_evaluates_during_training(monkeypatch):
    """Training on images gives the same masks as training on the feature maps of evaluation."""
    narrow = lambda **options: ResNet("keras", **NARROW, **options)  # noqa: E731
    monkeypatch.setitem(BACKBONES, "resnet50_keras", narrow)
    network = SSNM("resnet50_keras", 2, features=4, use_semantic=False, freeze_backbone=True)
    groups = np.random.default_rng(0).integers(0, 256, (1, 2, 64, 64, 3), dtype=np.uint8)
    variables = drawn_variables(network, groups)
    own = {part: tree["backbone"] for part, tree in variables.items()}
    bgr = groups[0, ..., ::-1] - np.float32([103.939, 116.779, 123.68])[None, None, None]
    maps = jax.jit(lambda v, x: narrow().apply(v, x, train=False))(own, bgr)
    maps = FeatureMaps(*(x[None] for x in maps))  # [B, N, h, w, C]

    @jax.jit
    def masks(maps):
        prediction, state = network.apply(
            variables, groups, train=True, maps=maps, mutable="batch_stats"
        )
        return prediction.mask_logits, state.get("batch_stats", variables["batch_stats"])

    expected, _ = masks(maps)
    found, statistics = masks(None)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    jax.tree.map(np.testing.assert_array_equal, statistics, variables["batch_stats"])


# Images of the VOC devkit, with the index of their ImageNet class
SHOWN = {
    "2008_003704": 281,  # tabby cat
    "2008_003244": 284,  # Siamese cat
    "2008_000053": 245,  # French bulldog
    "2008_000943": 207,  # golden retriever
    "2007_002376": 404,  # airliner
    "2007_003848": 820,  # steam locomotive
    "2007_003267": 96,  # toucan
    "2007_003051": 751,  # racing car
}


def middle(path: Path) -> np.ndarray:
    """The central 224 x 224 pixels of an image resized to a short side of 256; RGB in [0, 1]."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255


@pytest.fixture(scope="module")
def weights(data_dir) -> Path:
    path = data_dir / "weights" / "resnet50_keras_imagenet.npz"
    if not path.is_file():
        pytest.skip(f"needs the weights of Keras's ResNet-50 as {path}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_imagenet_weights_recognise_real_images(data_dir, weights, dtype):
    """The spatial mean of the coarsest map and the file's own head give ImageNet's logits."""
    folder = data_dir / "VOCdevkit" / "VOC2012" / "JPEGImages"
    pixels = np.stack([middle(folder / f"{name}.jpg") for name in SHOWN])
    net = create_backbone("resnet50_keras", dtype=dtype)
    variables = load_pretrained(str(weights), "resnet50_keras", shapes_of(net))
    apply = jax.jit(
        lambda v, x: net.apply(v, normalise_images(x, "resnet50_keras"), train=False).stride32
    )
    pooled = np.asarray(apply(variables, pixels), np.float32).mean(axis=(1, 2))
    with np.load(weights) as archive:
        logits = pooled @ np.float32(archive["fc1000__kernel"]) + archive["fc1000__bias"][None]
    assert dict(zip(SHOWN, logits.argmax(axis=1).tolist(), strict=True)) == SHOWN


@pytest.mark.slow
def test_frozen_stages_get_no_gradient_and_keep_their_statistics():
    net = ResNet(**NARROW, frozen_stages=2)
    pixels = images(2, 64, 64, 3)
    variables = drawn_variables(net, pixels)

    def loss(params):
        maps, updated = net.apply(
            {**variables, "params": params}, pixels, train=True, mutable="batch_stats"
        )
        return sum((x**2).mean() for x in maps), updated["batch_stats"]

    gradients, statistics = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    for name, part in gradients.items():
        frozen = name in ("conv1", "bn1", "layer1_0", "layer2_0")
        assert all(np.any(np.asarray(x)) != frozen for x in jax.tree.leaves(part)), name
        if name in statistics:
            moved = jax.tree.map(
                lambda a, b: bool(np.any(a != b)), statistics[name], variables["batch_stats"][name]
            )
            assert all(x != frozen for x in jax.tree.leaves(moved)), name


@pytest.mark.parametrize(("backbone", "stages"), [("resnet50", 5), ("resnet50", -1), ("vgg16", 1)])
def test_stages_that_a_backbone_cannot_freeze_are_refused(backbone, stages):
    with pytest.raises(UserError, match=f"frozen_stages is {stages}; {backbone} takes 0"):
        create_backbone(backbone, frozen_stages=stages)
