"""The real data sets in COSSEG_DATA_DIR: their known counts, and records equal to the files."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from cosseg_jax.data.builders.expected import BENCHMARKS
from cosseg_jax.data.builders.voc import find_devkit
from cosseg_jax.data.eval_groups import fives
from cosseg_jax.data.pipeline import training_batches
from cosseg_jax.data.registry import load_source

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pascal(data_dir):
    return load_source("pascal", "test", data_dir)


@pytest.fixture(scope="module")
def voc_train(data_dir):
    return load_source("voc", "train", data_dir)


def test_pascal_has_its_entries_and_classes(pascal):
    assert (len(pascal), len(pascal.categories)) == (1037, 20)
    assert sum(len(members) for members in pascal.members) == 1037


def test_pascal_is_the_data_set_of_the_paper(pascal):
    assert pascal.differences == ()
    assert pascal.checksum == BENCHMARKS["pascal"].checksum


def test_pascal_has_924_different_images(pascal):
    digests = [hashlib.sha256(pascal[i].image.tobytes()).digest() for i in range(len(pascal))]
    assert len(set(digests)) == 924


def test_every_entry_of_pascal_contains_its_object(pascal):
    for index in range(0, len(pascal), 25):
        assert 0 < pascal[index].masks.mean() < 1, pascal.names[index]


def test_fives_of_pascal_count_every_entry_once(pascal):
    assert sum(sum(group.counted) for group in fives(pascal)) == 1037


def test_voc_has_its_splits(voc_train, data_dir):
    assert (len(voc_train), len(load_source("voc", "val", data_dir))) == (3400, 361)


def test_categories_of_voc_have_their_members(voc_train):
    sizes = {c: len(m) for c, m in zip(voc_train.categories, voc_train.members, strict=True)}
    assert (sizes["dog"], sizes["cat"], sizes["bicycle"]) == (1108, 944, 34)


@pytest.mark.parametrize("index", [0, 1234, 3399])
def test_records_of_voc_equal_the_files(voc_train, data_dir, index):
    example, devkit = voc_train[index], find_devkit(data_dir)
    values = np.array(Image.open(devkit / f"SegmentationClass/{example.name}.png"))
    image = np.array(Image.open(devkit / f"JPEGImages/{example.name}.jpg"))
    np.testing.assert_array_equal(example.image, image)
    np.testing.assert_array_equal(example.void, values == 255)
    assert set(example.categories + 1) == set(np.unique(values)) - {0, 255}
    for category, mask in zip(example.categories, example.masks, strict=True):
        np.testing.assert_array_equal(mask, values == category + 1)


def test_worker_processes_give_the_same_batches(voc_train):
    settings = {"seed": 0, "group_size": 5, "groups_per_step": 2, "image_size": 64}
    inline = training_batches(voc_train, threads=0, **settings)
    workers = training_batches(voc_train, threads=1, processes=1, **settings)
    for _ in range(2):
        one, other = next(inline), next(workers)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.masks, other.masks)
    workers.close()
