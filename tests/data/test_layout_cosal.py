"""CoCA, CoSal2015 and CoSOD3k: where they are found, what belongs together, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toys import write_noise

from cosseg_jax.data.builders.expected import differences_from_paper
from cosseg_jax.data.builders.layouts.cosal import cosal_layout
from cosseg_jax.data.registry import load_source

MASK = np.eye(6, 10, dtype=bool)
LAYOUT = cosal_layout("CoCA")


def write_trees(images: Path, masks: Path) -> None:
    for name in ("Accordion/51499", "Accordion/186605", "hammer/7"):
        for tree in (images, masks):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
        write_noise(images / f"{name}.jpg", 10, 6)
        Image.fromarray(MASK).save(masks / f"{name}.png")


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("CoCA/image", "CoCA/binary"),
        ("coca/Image", "coca/GroundTruth"),
        ("images/CoCA", "gts/CoCA"),
        ("img/coca", "gt/coca"),
    ],
)
def test_the_authors_archive_and_collections_are_read(tmp_path, images, masks):
    write_trees(tmp_path / images, tmp_path / masks)
    found = LAYOUT.images(LAYOUT.find(tmp_path))
    assert [e.name for e in found] == ["Accordion/186605", "Accordion/51499", "hammer/7"]
    assert found[1].mask == tmp_path / masks / "Accordion/51499.png"
    np.testing.assert_array_equal(found[1].decode(found[1].mask), MASK)


def test_a_collection_keeps_its_data_sets_apart(tmp_path):
    write_trees(tmp_path / "images/CoCA", tmp_path / "gts/CoCA")
    write_trees(tmp_path / "images/CoSOD3k", tmp_path / "gts/CoSOD3k")
    assert cosal_layout("CoSal2015").find(tmp_path) is None
    assert {e.image.parents[1].name for e in LAYOUT.images(LAYOUT.find(tmp_path))} == {"CoCA"}


def test_its_own_folder_may_be_given(tmp_path):
    write_trees(tmp_path / "CoCA/image", tmp_path / "CoCA/binary")
    assert LAYOUT.find(tmp_path / "CoCA") == tmp_path / "CoCA"
    assert cosal_layout("CoSOD3k").find(tmp_path / "CoCA") is None


def test_an_image_without_a_mask_and_a_group_without_masks_are_named(tmp_path):
    write_trees(tmp_path / "CoCA/image", tmp_path / "CoCA/binary")
    (tmp_path / "CoCA/binary/hammer/7.png").unlink()
    write_noise(tmp_path / "CoCA/binary/hammer/8.png", 10, 6)
    with pytest.raises(ValueError, match=r"2 files have no counterpart .*hammer/7\.jpg"):
        LAYOUT.images(tmp_path / "CoCA")
    (tmp_path / "CoCA/image/pear").mkdir()
    with pytest.raises(ValueError, match=r"\['pear'\] are in only one of image/, binary/"):
        LAYOUT.images(tmp_path / "CoCA")


def test_the_data_set_is_loaded_and_its_size_compared(tmp_path):
    write_trees(tmp_path / "CoCA/image", tmp_path / "CoCA/binary")
    source = load_source("coca", "test", tmp_path)
    assert source.categories == ("Accordion", "hammer")
    np.testing.assert_array_equal(source[0].masks, MASK[None])
    assert differences_from_paper("coca", ["a", "a", "b"], "") == [
        "2 classes, the publication has 80",
        "3 images, the publication has 1295",
    ]
