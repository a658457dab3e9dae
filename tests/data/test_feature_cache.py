"""Cached maps against the backbone's own, and when they are computed anew."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_source import FakeSource
from toy_networks import ToyBackbone, drawn_variables

from configs import hrnet
from cosseg_jax.data import feature_cache
from cosseg_jax.data.augment import resized_image
from cosseg_jax.data.feature_cache import CachedSubset, FeatureCache
from cosseg_jax.models.backbones import BACKBONES, create_backbone, normalise
from cosseg_jax.models.ssnm import DTYPES
from cosseg_jax.types import FeatureMaps

COUNT, SIZE = 5, 64


class NoisySource(FakeSource):
    """Photographs of noise, each its own; `decoded` lists those that were asked for."""

    def __init__(self, name: str = "noisy"):
        super().__init__([(0,)] * COUNT)
        self.name = name

    def __getitem__(self, index: int):
        example = super().__getitem__(index)
        rng = np.random.default_rng(index)
        return example._replace(image=rng.integers(0, 256, example.image.shape, dtype=np.uint8))


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(BACKBONES, "toy", ToyBackbone)
    monkeypatch.setattr(feature_cache, "IMAGES_PER_BATCH", 2)


def config_of(**fields):
    config = hrnet.get_config()
    config.image_size = SIZE
    config.cache_dtype = "float32"
    config.model.backbone = "toy"
    config.update_from_flattened_dict(fields)
    return config


def variables_of(config, seed: int = 0):
    """The network's variables, with a part beside the backbone's that must not matter."""
    backbone, images = create_backbone(config.model.backbone), jnp.zeros((1, SIZE, SIZE, 3))
    variables = drawn_variables(backbone, images, seed=seed)
    return {part: {"backbone": tree, "head": {}} for part, tree in variables.items()}


def true_maps(config, variables, index: int, flipped: bool):
    """The maps of one photograph, straight from the backbone."""
    image = resized_image(NoisySource()[index].image, SIZE)
    image = image[:, ::-1] if flipped else image
    backbone = create_backbone(config.model.backbone, dtype=DTYPES[config.cache_dtype])
    own = {part: tree["backbone"] for part, tree in variables.items()}
    pixels = normalise(jnp.float32(image[None]) / 255, config.model.backbone)
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


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("bfloat16", 2e-2)])
def test_maps_are_the_backbones(tmp_path, dtype, tolerance):
    config = config_of(cache_dtype=dtype)
    variables = variables_of(config)
    cache = opened(tmp_path, config, variables)
    cache.fill()
    for index in range(COUNT):
        expected = true_maps(config, variables, index, flipped=False)
        assert_close(cache.maps(index, flipped=False), expected, tolerance)


def test_photographs_are_normalised_as_the_backbone_expects(tmp_path, monkeypatch):
    monkeypatch.setitem(BACKBONES, "resnet50_keras", ToyBackbone)  # BGR, 255 times as large
    config = config_of(**{"model.backbone": "resnet50_keras"})
    variables = variables_of(config)
    cache = opened(tmp_path, config, variables)
    cache.fill()
    assert_close(cache.maps(0, flipped=False), true_maps(config, variables, 0, False), 1e-3)


def test_flipped_maps_are_those_of_the_flipped_photograph(tmp_path):
    config = config_of()
    variables = variables_of(config)
    cache = opened(tmp_path, mirror=False)
    cache.fill()
    for flipped in (False, True):
        expected = true_maps(config, variables, 4, flipped)
        assert_close(cache.maps(4, flipped), expected, 1e-3)


def test_mirrored_maps_are_the_maps_turned_round(tmp_path):
    cache = opened(tmp_path, mirror=True)
    cache.fill()
    for one, other in zip(cache.maps(4, True), cache.maps(4, False), strict=True):
        np.testing.assert_array_equal(one, other[:, ::-1])


def test_what_is_there_is_not_computed_again(tmp_path):
    opened(tmp_path).fill()
    source = NoisySource()
    again = opened(tmp_path, source=source)
    source.decoded.clear()  # to tell data sets apart, opening looks at some photographs
    again.fill()
    assert source.decoded == []
    assert np.abs(again.maps(COUNT - 1, False).stride4).max() > 0


def test_an_interrupted_fill_goes_on_with_what_is_missing(tmp_path, monkeypatch):
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
    """A photograph counts as done only with both of its sides."""
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
    ["weights", "image_size", "cache_dtype", "mirror", "source"],
)
def test_whatever_changes_the_maps_gets_a_folder_of_its_own(tmp_path, change):
    opened(tmp_path)
    config = config_of()
    if change == "weights":
        opened(tmp_path, config, variables_of(config, seed=1))
    elif change == "mirror":
        opened(tmp_path, mirror=False)
    elif change == "source":
        opened(tmp_path, source=NoisySource("other"))
    else:
        config[change] = {"image_size": 32, "cache_dtype": "bfloat16"}[change]
        opened(tmp_path, config)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_other_parts_of_the_network_do_not_matter(tmp_path):
    variables = variables_of(config_of())
    opened(tmp_path, variables=variables)
    changed = {part: {**tree, "head": {"x": jnp.ones(3)}} for part, tree in variables.items()}
    opened(tmp_path, variables=changed)
    assert len(list(tmp_path.iterdir())) == 1


def test_too_small_a_disk_is_said_before_anything_is_computed(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"maps of 5 photographs take .* GB free; set cache_dir"):
        opened(tmp_path)
    assert not list(tmp_path.rglob("*.npy"))


def test_maps_beyond_float16_name_their_photographs(tmp_path):
    variables = jax.tree.map(lambda leaf: 1e6 * leaf, variables_of(config_of()))
    with pytest.raises(FloatingPointError, match=r"'photo000', 'photo001'.* do not fit float16"):
        opened(tmp_path, variables=variables).fill()


def test_unknown_dtype_lists_the_valid_ones(tmp_path):
    with pytest.raises(ValueError, match=r"cache_dtype is 'float16'; .*: float32, bfloat16"):
        opened(tmp_path, config_of(cache_dtype="float16"))


def test_a_part_of_a_source_finds_its_photographs_in_the_whole_ones_cache():
    class Numbered:
        """Of each photograph maps of its number, negative of its mirror image."""

        def maps(self, index: int, flipped: bool) -> FeatureMaps:
            value = np.full((1, 1, 1), -index if flipped else index, np.float16)
            return FeatureMaps(value, value, value, value)

    part = CachedSubset(Numbered(), [3, 5])
    assert part.maps(0, False).stride4.item() == 3
    assert part.maps(1, True).stride32.item() == -5
