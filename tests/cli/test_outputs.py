"""Files of `cosseg segment` and `cosseg apply`: names and pictures."""

from pathlib import Path

import numpy as np

from cosseg_jax.cli import outputs
from cosseg_jax.predict.drawing import tinted


def test_files_are_named_after_their_photos():
    photos = [Path("a.jpg"), Path("a.png"), Path("x/con.jpg")]
    to = outputs.destination_of(Path("out"), photos, ("overlays", "masks", "json"))
    assert [path.as_posix() for path in to.files] == [
        *("out/masks/a.png", "out/overlays/a.jpg"),
        *("out/masks/a_2.png", "out/overlays/a_2.jpg"),
        *("out/masks/_con.png", "out/overlays/_con.jpg"),
        "out/segmentation.json",
    ]


def test_relative_names_begin_below_the_common_folder(tmp_path: Path):
    paths = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "c" / "2.jpg"]
    assert outputs.relative_names(paths) == ["a/1.jpg", "b/c/2.jpg"]
    assert outputs.relative_names(paths[:1]) == ["1.jpg"]


def test_large_overlays_are_drawn_in_strips_without_seams():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2 * outputs.OVERLAY_ROWS + 3, 2, 3), dtype=np.uint8)
    mask = rng.random(image.shape[:2]) > 0.5
    np.testing.assert_array_equal(outputs.overlay(image, mask), tinted(image, mask))
