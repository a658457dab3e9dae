"""FSS-1000: where it is found, what belongs together, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toys import write_noise

from cosseg_jax.data.builders.layouts.fss import FSS

MASK = np.eye(6, 10, dtype=bool)


def write_fss(root: Path) -> Path:
    for name in ("abacus/1", "abacus/2", "ab_wheel/10"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_noise(root / f"{name}.jpg", 10, 6)
        Image.fromarray(MASK).save(root / f"{name}.png")
    return root


@pytest.mark.parametrize("place", ["fewshot_data/fewshot_data", "fewshot_data", ""])
def test_images_and_masks_lie_side_by_side(tmp_path, place):
    root = write_fss(tmp_path / place)
    assert FSS.find(tmp_path) == root
    found = FSS.images(root)
    assert [e.name for e in found] == ["ab_wheel/10", "abacus/1", "abacus/2"]
    np.testing.assert_array_equal(found[0].decode(found[0].mask), MASK)


def test_an_image_without_a_mask_is_named(tmp_path):
    root = write_fss(tmp_path)
    (root / "abacus/2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 missing, the first being .*abacus/2\.jpg"):
        FSS.images(root)


def test_a_class_without_images_is_named(tmp_path):
    root = write_fss(tmp_path)
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty has no \.jpg"):
        FSS.images(root)


def test_other_folders_are_not_taken_for_it(tmp_path):
    (tmp_path / "cat").mkdir()
    write_noise(tmp_path / "cat/1.jpg", 10, 6)
    assert FSS.find(tmp_path) is None
