"""Subsets of a data set, and the train and val splits of a folder of images."""

import zlib

import numpy as np
import pytest
from PIL import Image
from toys import ToySource

from cosseg_jax.data.registry import load_source
from cosseg_jax.data.source import Subset, split_by_name
from cosseg_jax.errors import UserError

SOURCE = ToySource([[0], [1], [0, 1], [1], [0]], 2)


def test_a_subset_numbers_its_images_from_0():
    part = Subset(SOURCE, [1, 2, 4])
    assert list(part.names) == [SOURCE.names[i] for i in (1, 2, 4)]
    assert [members.tolist() for members in part.members] == [[1, 2], [0, 1]]
    np.testing.assert_array_equal(part[2].image, SOURCE[4].image)
    with pytest.raises(IndexError, match="0 to 2, not 3"):
        part[3]


def test_the_splits_are_disjoint_complete_and_do_not_change_when_images_are_added():
    few, many = (ToySource([[0]] * count, 1) for count in (60, 100))
    train, val = (set(split_by_name(few, split).names) for split in ("train", "val"))
    assert train | val == set(few.names)
    assert not train & val
    assert 4 < len(val) < 20
    assert val <= set(split_by_name(many, "val").names)


def test_an_empty_split_is_named():
    one = ToySource([[0]], 1)
    empty = "train" if is_in_val(one) else "val"
    with pytest.raises(UserError, match="has 1 images, none of which falls into the split"):
        split_by_name(one, empty)


def is_in_val(source) -> bool:
    return zlib.crc32(source.names[0].encode()) % 5 == 0


def write_folder(root, count: int, *, masks: bool):
    rng = np.random.default_rng(0)
    for tree in ("image", *(["masks"] if masks else [])):
        (root / tree / "cat").mkdir(parents=True)
    for i in range(count):
        image = Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8))
        image.save(root / f"image/cat/p{i}.png")
        if masks:
            Image.fromarray(np.eye(9, 8, dtype=np.uint8) * 255).save(root / f"masks/cat/p{i}.png")
    return root


def test_a_folder_with_masks_can_be_trained_on(tmp_path):
    root = write_folder(tmp_path / "mine", 30, masks=True)
    parts = {split: load_source("folder", split, root) for split in ("train", "val", "test")}
    assert len(parts["train"]) + len(parts["val"]) == len(parts["test"]) == 30
    assert parts["train"].categories == ("cat",)
    assert parts["train"][0].masks.any()


def test_without_masks_a_folder_cannot_be_trained_on(tmp_path):
    root = write_folder(tmp_path / "mine", 10, masks=False)
    assert len(load_source("folder", "test", root)) == 10
    with pytest.raises(UserError, match=r"have no masks, .* masks/<class>/<name>\.png"):
        load_source("folder", "train", root)
