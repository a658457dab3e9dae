"""Parts of a data set, and how a folder of one's own is parted for training."""

import zlib

import numpy as np
import pytest
from PIL import Image
from toys import ToySource

from cosseg_jax.data.registry import load_source
from cosseg_jax.data.source import Subset, drawn_split

SOURCE = ToySource([[0], [1], [0, 1], [1], [0]], 2)


def test_a_subset_numbers_its_photographs_anew():
    part = Subset(SOURCE, [1, 2, 4])
    assert list(part.names) == [SOURCE.names[i] for i in (1, 2, 4)]
    assert [members.tolist() for members in part.members] == [[1, 2], [0, 1]]
    np.testing.assert_array_equal(part[2].image, SOURCE[4].image)
    with pytest.raises(IndexError, match="0 to 2, not 3"):
        part[3]


def test_the_two_parts_are_all_of_it_and_stay_as_photographs_are_added():
    few, many = (ToySource([[0]] * count, 1) for count in (60, 100))
    train, val = (set(drawn_split(few, split).names) for split in ("train", "val"))
    assert train | val == set(few.names)
    assert not train & val
    assert 4 < len(val) < 20
    assert val <= set(drawn_split(many, "val").names)


def test_an_empty_part_is_named():
    one = ToySource([[0]], 1)
    name_of_the_other = "train" if drawn_in_val(one) else "val"
    with pytest.raises(ValueError, match="has 1 photographs, none of which falls to the part"):
        drawn_split(one, name_of_the_other)


def drawn_in_val(source) -> bool:
    return zlib.crc32(source.names[0].encode()) % 5 == 0


def write_folder(root, count: int, *, masks: bool):
    rng = np.random.default_rng(0)
    for tree in ("image", *(["masks"] if masks else [])):
        (root / tree / "cat").mkdir(parents=True)
    for i in range(count):
        picture = Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8))
        picture.save(root / f"image/cat/p{i}.png")
        if masks:
            Image.fromarray(np.eye(9, 8, dtype=np.uint8) * 255).save(root / f"masks/cat/p{i}.png")
    return root


def test_a_folder_with_masks_can_be_trained_on(tmp_path):
    root = write_folder(tmp_path / "mine", 30, masks=True)
    parts = {split: load_source("folder", split, root) for split in ("train", "val", "test")}
    assert len(parts["train"]) + len(parts["val"]) == len(parts["test"]) == 30
    assert parts["train"].categories == ("cat",)
    assert parts["train"][0].masks.any()


def test_without_masks_there_is_nothing_to_learn_from(tmp_path):
    root = write_folder(tmp_path / "mine", 10, masks=False)
    assert len(load_source("folder", "test", root)) == 10
    with pytest.raises(ValueError, match=r"have no masks, .* masks/<class>/<name>\.png"):
        load_source("folder", "train", root)
