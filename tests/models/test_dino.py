"""DINOv2 and DINOv3 equal the networks of transformers and timm, from files as these write them."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.dino_weights import BLOCKS, HEADS, SHOWN, WIDTH, make_dino
from goldens.weights import images, unpack_layout, write_pth
from safetensors.numpy import save_file

from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import create_backbone
from cosseg_jax.models.backbones.transformer import Rotations, rotated, rotations
from cosseg_jax.models.backbones.vit import TABLE_SIDE, ViT, cubic_weights, resampled
from cosseg_jax.models.pretrained import load_pretrained

GOLDENS = Path(__file__).parents[1] / "goldens"
SIZE, NATIVE = (40, 72), (592, 592)  # of the images of make_dino.py
CASES = {  # of dino.npz: variant, size of the image
    "transformers_dinov2": ("dinov2", SIZE),
    "transformers_dinov2_reg": ("dinov2_reg", SIZE),
    "transformers_dinov3": ("dinov3", SIZE),
    "timm_dinov2": ("dinov2", NATIVE),
    "timm_dinov2_reg": ("dinov2_reg", NATIVE),
    "timm_dinov3": ("dinov3", SIZE),
    "timm_dinov3_qkvb": ("dinov3", SIZE),
}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDENS / "dino.npz"))


def narrow(variant: str) -> ViT:
    return ViT(variant, WIDTH, HEADS, BLOCKS)


@functools.cache
def applied(variant: str):
    return jax.jit(lambda v, x: narrow(variant).apply(v, x, train=False))


@functools.cache
def shapes_of(variant: str):
    pixels = jnp.zeros((1, 32, 32, 3))
    return jax.eval_shape(lambda: narrow(variant).init(jax.random.key(0), pixels, train=False))


def tensors_of(golden, case: str) -> dict[str, np.ndarray]:
    layout = unpack_layout(golden[f"{case}_layout"])
    return {name: make_dino(name, shape) for name, shape in layout.items()}


def loaded(folder: Path, tensors: dict[str, np.ndarray], variant: str):
    path = folder / "model.safetensors"
    save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, path)
    return load_pretrained(str(path), f"{variant}_small", shapes_of(variant))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[] if variant == "dinov3" else [pytest.mark.slow])
        for case, (variant, _) in CASES.items()
    ],
)
def test_maps_agree_with_the_reference(golden, tmp_path, case):
    variant, size = CASES[case]
    variables = loaded(tmp_path, tensors_of(golden, case), variant)
    maps = applied(variant)(variables, images(1, *size, 3))
    step = 7 if size == NATIVE else 1
    for level, values in enumerate(maps):
        expected = golden[f"{case}_{level}"]
        found = np.asarray(values)[:, ::step, ::step, SHOWN]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_authors_file_of_dinov3_is_read(golden, tmp_path):
    """It stacks the biases with zeros for the keys, and is a file of PyTorch."""
    theirs = {}
    for name, array in tensors_of(golden, "timm_dinov3_qkvb").items():
        if name.endswith("q_bias"):
            value = make_dino(name.replace("q_bias", "v_bias"), array.shape)
            stacked = np.concatenate([array, np.zeros_like(array), value])
            theirs[name.replace("q_bias", "qkv.bias")] = stacked
        elif not name.endswith("v_bias"):
            theirs[name.replace("reg_token", "storage_tokens")] = array
    theirs["mask_token"] = make_dino("mask_token", (1, WIDTH))
    path = tmp_path / "dinov3.pth"
    write_pth(path, theirs)
    found = load_pretrained(str(path), "dinov3_small", shapes_of("dinov3"))
    expected = loaded(tmp_path, tensors_of(golden, "timm_dinov3_qkvb"), "dinov3")
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_file_that_does_not_fit_is_listed(golden, tmp_path):
    tensors = tensors_of(golden, "transformers_dinov3")
    tensors["layer.0.attention.k_proj.bias"] = np.ones(WIDTH, np.float32)
    tensors["layer.0.extra"] = tensors.pop("layer.1.mlp.up_proj.weight")
    tensors["norm.weight"] = np.ones(5, np.float32)
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, tensors, "dinov3")
    assert str(caught.value).splitlines()[1:] == [
        "  + only in the file: layer.0.extra",
        "  + only in the file: params/blocks_0/attention/key/bias",
        "  - only in the model: params/blocks_1/fc1/kernel",
        f"  ! params/norm/scale: (5,) in the file, ({WIDTH},) in the model",
    ]


def test_one_networks_file_is_not_anothers(golden, tmp_path):
    with pytest.raises(UserError, match=r"only in the model: params/registers"):
        loaded(tmp_path, tensors_of(golden, "transformers_dinov2"), "dinov2_reg")
    with pytest.raises(UserError, match=r"only in the file: params/positions"):
        loaded(tmp_path, tensors_of(golden, "transformers_dinov2_reg"), "dinov3")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("dinov2_small", 384, 22_055_808),
        ("dinov2_reg_base", 768, 86_582_016),
        ("dinov3_small", 384, 21_596_160),
        ("dinov3_base", 768, 85_659_648),
    ],
)
def test_published_sizes_and_odd_sides(name, channels, parameters):
    net, pixels = create_backbone(name), jnp.zeros((1, 225, 33, 3))
    maps, variables = jax.eval_shape(
        lambda: net.init_with_output(jax.random.key(0), pixels, train=False)
    )
    assert [m.shape[1:] for m in maps] == [
        (57, 9, channels),
        (29, 5, channels),
        (15, 3, channels),
        (8, 2, channels),
    ]
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == parameters


def test_rotations_keep_lengths_and_depend_on_distance_alone():
    by = rotations(1, 4, 8)
    x = jnp.ones((1, 5, 1, 8))
    turned = rotated(x, by)
    np.testing.assert_allclose(jnp.sum(turned**2, axis=-1), 8, rtol=1e-5)
    np.testing.assert_array_equal(turned[:, 0], x[:, 0])  # the class token has no place
    products = jnp.einsum("mthc,mshc->ts", turned, turned)[1:, 1:]
    np.testing.assert_allclose(products[0, 1], products[2, 3], rtol=1e-5)
    assert abs(float(products[0, 1] - products[0, 2])) > 0.1
    assert isinstance(by, Rotations)


def test_a_table_of_the_same_size_stays_as_it_is():
    np.testing.assert_allclose(cubic_weights(TABLE_SIDE, TABLE_SIDE), np.eye(TABLE_SIDE), atol=1e-6)
    table = jnp.asarray(images(5, 4, 3))
    for antialias in (False, True):
        np.testing.assert_allclose(
            resampled(table, 5, 4, antialias=antialias), table, rtol=1e-5, atol=1e-6
        )


def test_interpolated_values_are_weighted_means():
    for size, target in ((37, 14), (5, 12)):
        np.testing.assert_allclose(cubic_weights(size, target).sum(axis=1), 1, rtol=1e-5)
