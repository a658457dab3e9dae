"""Cached feature maps against the backbone's own, and when they are computed again."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_source import FakeSource
from toy_networks import ToyBackbone, drawn_variables

from configs import hrnet
from cosseg_jax.data import feature_cache
from cosseg_jax.data.feature_cache import CachedSubset, FeatureCache
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.errors import NotFiniteError
from cosseg_jax.models.backbones import BACKBONES, create_backbone, normalise_images
from cosseg_jax.types import FeatureMaps

COUNT, SIZE = 5, 64


class NoisySource(FakeSource):
    """A different image of noise for each index; `decoded` lists the images that were read."""

    def __init__(self, name: str = "noisy"):
        super().__init__([(0,)] * COUNT)
        self.name = name

    def __getitem__(self, index: int):
        example = super().__getitem__(index)
        rng = np.random.default_rng(index)
        return example._replace(image=rng.integers(0, 256, example.image.shape, dtype=np.uint8))


@pytest.fixture(autouse=True, scope="module")
def own_programs():
    """Programs are compiled anew, with what `toy` replaces, and not kept for other files."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(BACKBONES, "toy", ToyBackbone)
    monkeypatch.setattr(feature_cache, "ENCODED_AT_ONCE", 2)
    monkeypatch.setattr(feature_cache, "COMPUTE_DTYPE", jnp.float32)


def config_of(**fields):
    config = hrnet.get_config()
    config.image_size = SIZE
    config.model.backbone = "toy"
    config.update_from_flattened_dict(fields)
    return config


def variables_of(config, seed: int = 0):
    """The network's variables, with a part beside the backbone's that must not matter."""
    backbone, images = create_backbone(config.model.backbone), jnp.zeros((1, SIZE, SIZE, 3))
    variables = drawn_variables(backbone, images, seed=seed)
    return {part: {"backbone": tree, "head": {}} for part, tree in variables.items()}


def true_maps(config, variables, index: int, flipped: bool):
    """The maps of one image, straight from the backbone."""
    image = resize_image(NoisySource()[index].image, SIZE)
    image = image[:, ::-1] if flipped else image
    backbone = create_backbone(config.model.backbone, dtype=feature_cache.COMPUTE_DTYPE)
    own = {part: tree["backbone"] for part, tree in variables.items()}
    pixels = normalise_images(jnp.float32(image[None]) / 255, config.model.backbone)
    maps = backbone.apply(own, pixels, train=False)
    return [np.asarray(x[0], np.float32) for x in maps]


def opened(folder, config=None, variables=None, *, source=None, mirror=True) -> FeatureCache:
    config = config or config_of()
    variables = variables or variables_of(config)
    return FeatureCache(folder, source or NoisySource(), config, variables, mirror=mirror)


def assert_close(maps, expected, tolerance: float):
    for one, other in zip(maps, expected, strict=True):
        assert one.dtype == np.float16
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-3), (jnp.bfloat16, 2e-2)])
def test_maps_are_the_backbones(tmp_path, monkeypatch, dtype, tolerance):
    monkeypatch.setattr(feature_cache, "COMPUTE_DTYPE", dtype)
    config = config_of()
    variables = variables_of(config)
    cache = opened(tmp_path, config, variables)
    cache.fill()
    for index in range(COUNT):
        expected = true_maps(config, variables, index, flipped=False)
        assert_close(cache.maps(index, flipped=False), expected, tolerance)


@pytest.mark.slow
def test_images_are_normalised_as_the_backbone_expects(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "resnet50_keras", ToyBackbone)  # BGR, 255 times as large
    config = config_of(**{"model.backbone": "resnet50_keras"})
    variables = variables_of(config)
    cache = opened(tmp_path, config, variables)
    cache.fill()
    assert_close(cache.maps(0, flipped=False), true_maps(config, variables, 0, False), 1e-3)


def test_flipped_maps_are_those_of_the_flipped_image(tmp_path):
    config = config_of()
    variables = variables_of(config)
    cache = opened(tmp_path, mirror=False)
    cache.fill()
    for flipped in (False, True):
        expected = true_maps(config, variables, 4, flipped)
        assert_close(cache.maps(4, flipped), expected, 1e-3)


def test_mirrored_maps_are_the_flipped_maps(tmp_path):
    cache = opened(tmp_path, mirror=True)
    cache.fill()
    for one, other in zip(cache.maps(4, True), cache.maps(4, False), strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])


def test_existing_maps_are_not_computed_again(tmp_path):
    opened(tmp_path).fill()
    source = NoisySource()
    again = opened(tmp_path, source=source)
    source.decoded.clear()  # opening reads some images, to tell data sets apart
    again.fill()
    assert source.decoded == []
    assert np.abs(again.maps(COUNT - 1, False).stride4).max() > 0


def test_an_interrupted_fill_continues_with_the_missing_maps(tmp_path, monkeypatch):
    store, stored = FeatureCache._store, []

    def interrupted(self, indices, side, maps):
        if stored:
            raise KeyboardInterrupt
        stored.extend(indices)
        store(self, indices, side, maps)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "_store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path).fill()
    source = NoisySource()
    cache = opened(tmp_path, source=source)
    source.decoded.clear()
    cache.fill()
    assert stored == [0, 1]
    assert sorted(source.decoded) == [2, 3, 4]
    config = config_of()
    for index in range(COUNT):
        expected = true_maps(config, variables_of(config), index, flipped=False)
        assert_close(cache.maps(index, flipped=False), expected, 1e-3)


def test_an_interrupted_flipped_side_is_computed_again(tmp_path, monkeypatch):
    """An image counts as done only with both of its sides."""
    store = FeatureCache._store

    def interrupted(self, indices, side, maps):
        if side == 1:
            raise KeyboardInterrupt
        store(self, indices, side, maps)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "_store", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, mirror=False).fill()
    cache = opened(tmp_path, mirror=False)
    cache.fill()
    assert np.abs(cache.maps(0, True).stride4).max() > 0


@pytest.mark.parametrize(
    "change",
    ["weights", "image_size", "mirror", "source"],
)
def test_other_maps_get_a_folder_of_their_own(tmp_path, change):
    opened(tmp_path)
    config = config_of()
    if change == "weights":
        opened(tmp_path, config, variables_of(config, seed=1))
    elif change == "mirror":
        opened(tmp_path, mirror=False)
    elif change == "source":
        opened(tmp_path, source=NoisySource("other"))
    else:
        opened(tmp_path, config_of(image_size=32))
    assert len(list(tmp_path.iterdir())) == 2


def test_the_other_parts_of_the_network_do_not_matter(tmp_path):
    variables = variables_of(config_of())
    opened(tmp_path, variables=variables)
    changed = {part: {**tree, "head": {"x": jnp.ones(3)}} for part, tree in variables.items()}
    opened(tmp_path, variables=changed)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_reported_before_anything_is_computed(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"maps of 5 images take .* GB free; set cache_dir"):
        opened(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_maps_beyond_float16_name_their_images(tmp_path):
    variables = jax.tree.map(lambda leaf: 1e6 * leaf, variables_of(config_of()))
    with pytest.raises(NotFiniteError, match=r"'photo000', 'photo001'.* do not fit float16"):
        opened(tmp_path, variables=variables).fill()


def test_a_subset_reads_the_cache_of_the_whole_source():
    class Numbered:
        """The maps of an image hold its index; those of its mirror image the negative index."""

        def maps(self, index: int, flipped: bool) -> FeatureMaps:
            value = np.full((1, 1, 1), -index if flipped else index, np.float16)
            return FeatureMaps(value, value, value, value)

    part = CachedSubset(Numbered(), [3, 5])
    assert part.maps(0, False).stride4.item() == 3
    assert part.maps(1, True).stride32.item() == -5
