"""`cosseg show`: the sheet's size, and what it does not overwrite."""

from pathlib import Path

import numpy as np
import pytest
from golden_network import never, shapes, write_shapes
from PIL import Image

from cosseg_jax.cli import network
from cosseg_jax.cli.main import main
from cosseg_jax.predict.drawing import TILE_GAP


def show(*arguments: object) -> int:
    return main(["show", *map(str, arguments)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sheet.png", "sheet.JPG", "sheet.webp"])
def test_photos_are_columns_that_wrap(golden, tmp_path: Path, capsys, name: str):
    photos = write_shapes(tmp_path / "photos")
    Image.fromarray(shapes()[0][:, :48]).save(photos / "a.png")
    (photos / "broken.png").touch()
    out = tmp_path / "new" / name
    assert show(photos, "--out", out, "--columns", 2, "--side", 40) == 0
    with Image.open(out) as sheet:
        assert sheet.size == (20 + 40 + 2 * TILE_GAP, 2 * 4 * (40 + TILE_GAP))
        if name == "sheet.png":
            filled = np.asarray(sheet)[4 * (40 + TILE_GAP) :, 40 + TILE_GAP :]
            assert (filled == 255).all()
    printed = capsys.readouterr()
    assert printed.out == f"3 photos drawn in {out}\n"
    assert "warning: left out" in printed.err


@pytest.mark.slow
def test_very_wide_photos_are_squeezed(golden, tmp_path: Path):
    Image.fromarray(shapes()[0][:4]).save(tmp_path / "wide.png")
    assert show(tmp_path / "wide.png", "--out", tmp_path / "sheet.png", "--side", 10) == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (30 + TILE_GAP, 4 * (10 + TILE_GAP))


def test_an_existing_sheet_is_overwritten_with_force_only(
    golden, tmp_path: Path, capsys, monkeypatch
):
    photos = write_shapes(tmp_path / "photos")
    out = tmp_path / "sheet.png"
    out.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(network, "load_predictor", never)
        assert show(photos, "--out", out) == 2
        assert show(photos, "--out", photos / "a.png", "--force") == 2
    errors = capsys.readouterr().err
    assert "sheet.png exists already" in errors
    assert "a.png is one of the photos" in errors
    assert out.read_text() == "mine"
    assert show(photos, "--out", out, "--force") == 0
