"""The prompt of `cosseg segment`: a point, a box or a mask in one of the photos."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_network import predictor, write_shapes
from PIL import Image
from test_segment import segment

from cosseg_jax.cli import network
from cosseg_jax.data.prompts import Prompt
from cosseg_jax.predict.predictor import Predictor

ORIENTATION = 0x0112


class Asked(Predictor):
    """A predictor, and its own session, that note what they are asked for."""

    photos: list[Path]
    prompt: Prompt

    def __init__(self) -> None: ...

    def encode(self, photos: Any, **options: Any) -> Any:
        self.photos = photos
        self._session = predictor().encode(photos, **options)
        return self

    def segment(self, *, prompt: Prompt, **options: Any) -> Any:
        self.prompt = prompt
        return self._session.segment(prompt=prompt, **options)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    stand_in = Asked()
    monkeypatch.setattr(network, "load_predictor", lambda options, cold=True: stand_in)
    return stand_in


def test_a_point_is_in_the_photo_of_the_prompt(asked: Asked, tmp_path: Path):
    """Also if a photo before it cannot be read."""
    photos = write_shapes(tmp_path / "photos")
    (photos / "a_broken.png").touch()
    point = ["--prompt", photos / "c.png", "--point", "30,40.5"]
    assert segment(photos, "--out", tmp_path / "out", *point) == 0
    assert len(asked.photos) == 4
    assert (asked.prompt.image, asked.prompt.point) == (2, (30.0, 40.5))


def test_a_box_may_be_in_a_photo_that_joins_the_group(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    other = write_shapes(tmp_path / "other", ("d.png",)) / "d.png"
    box = ["--prompt", other, "--box", "1,2,30,40"]
    assert segment(photos, "--out", tmp_path / "out", *box) == 0
    assert asked.photos[-1] == other
    assert (asked.prompt.image, asked.prompt.box) == (3, (1.0, 2.0, 30.0, 40.0))
    assert (tmp_path / "out/masks/d.png").is_file()


@pytest.mark.parametrize("place", ["elsewhere", "photos"])
def test_a_mask_is_read_from_its_file_which_is_no_photo(asked: Asked, tmp_path: Path, place: str):
    photos = write_shapes(tmp_path / "photos")
    mask = np.zeros((96, 96), np.uint8)
    mask[10:40, 20:30] = 1
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / place / "b_mask.png"
    Image.fromarray(mask).save(file)
    assert segment(photos, "--out", tmp_path / "out", "--prompt", "b.png", "--mask", file) == 0
    np.testing.assert_array_equal(asked.prompt.mask, mask == 1)
    assert [path.name for path in asked.photos] == ["a.png", "b.png", "c.png"]


def test_a_mask_may_be_drawn_on_a_turned_photo_as_it_is_stored(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos", ("a.png",))
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the stored left column is the upper row
    with Image.open(photos / "a.png") as photo:
        photo.crop((0, 0, 48, 96)).save(photos / "a.jpg", exif=exif)
    mask = np.zeros((96, 48), np.uint8)
    mask[:, :10] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    prompt = ["--prompt", photos / "a.jpg", "--mask", tmp_path / "mask.png"]
    assert segment(photos, "--out", tmp_path / "out", *prompt) == 0
    assert asked.prompt.mask is not None
    assert asked.prompt.mask.shape == (48, 96)
    assert asked.prompt.mask[:10].all()
    assert not asked.prompt.mask[10:].any()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (["--point", "200,3"], "point 200,3 is outside the photo of 96 x 96"),
        (["--box", "50,50,20,20"], "box 50,50,20,20 holds no pixel"),
        (["--mask", "small.png"], "the prompt's mask is 5 x 4, the photo 96 x 96"),
        (["--mask", "black.png"], "the prompt's mask is empty"),
        (["--mask", "nowhere.png"], "nowhere.png does not exist"),
    ],
)
def test_prompts_that_do_not_fit_are_named_before_photos_are_read(
    prompt: list[str], message: str, asked: Asked, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    photos = write_shapes(tmp_path / "photos")
    Image.new("L", (5, 4), 255).save("small.png")
    Image.new("L", (96, 96)).save("black.png")
    assert segment(photos, "--out", "out", "--prompt", "a.png", *prompt) == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert not hasattr(asked, "photos")
