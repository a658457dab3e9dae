"""The prompts of `cosseg segment`: points, boxes and masks in some of the photos."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_network import predictor, write_shapes
from PIL import Image
from test_segment import segment

from cosseg_jax.cli import network
from cosseg_jax.cli.prompts import read_prompts
from cosseg_jax.data.prompts import Prompt
from cosseg_jax.errors import UserError
from cosseg_jax.predict.predictor import Predictor

ORIENTATION = 0x0112


class Asked(Predictor):
    """A predictor, and its own session, that note what they are asked for."""

    photos: list[Path]
    prompts: list[Prompt]

    def __init__(self) -> None: ...

    def encode(self, photos: Any, **options: Any) -> Any:
        self.photos = photos
        self._session = predictor().encode(photos, **options)
        return self

    @property
    def prompt(self) -> Prompt:
        """The only one."""
        (prompt,) = self.prompts
        return prompt

    def segment(self, *, prompt: list[Prompt], **options: Any) -> Any:
        self.prompts = prompt
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
    assert (asked.prompt.image, asked.prompt.positive) == (2, [(30.0, 40.5)])


@pytest.mark.slow
def test_a_box_may_be_in_a_photo_that_joins_the_group(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    other = write_shapes(tmp_path / "other", ("d.png",)) / "d.png"
    box = ["--prompt", other, "--box", "1,2,30,40"]
    assert segment(photos, "--out", tmp_path / "out", *box) == 0
    assert asked.photos[-1] == other
    assert (asked.prompt.image, asked.prompt.box) == (3, (1.0, 2.0, 30.0, 40.0))
    assert (tmp_path / "out/masks/d.png").is_file()


def test_prompts_of_several_photos_add_up(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    prompts = ["--prompt", "a.png", "--point", "30,40", "--negative", "9,8", "--point", "31,41"]
    prompts += ["--prompt", "b.png", "--box", "1,2,30,40", "--box", "50,50,60,60"]
    prompts += ["--prompt", "c.png", "--absent", "--prompt", "a.png", "--point", "50,51"]
    assert segment(photos, "--out", tmp_path / "out", *prompts) == 0
    found = [(p.image, p.positive, p.negative, p.box, p.absent) for p in asked.prompts]
    assert found == [
        (0, [(30, 40), (31, 41)], [(9, 8)], None, False),
        (0, [(50, 51)], [], None, False),
        (1, [], [], (50, 50, 60, 60), False),
        (1, [], [], (1, 2, 30, 40), False),
        (2, [], [], None, True),
    ]
    mask = np.asarray(Image.open(tmp_path / "out/masks/a.png"))
    assert (mask[40, 30], mask[51, 50], mask[8, 9]) == (255, 255, 0)
    assert not np.asarray(Image.open(tmp_path / "out/masks/c.png")).any()


def test_prompts_are_read_from_a_file_beside_the_photos(asked: Asked, tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    entries = [
        {"photo": "b.png", "points": [[5, 6], [7.5, 8]], "labels": [1, 0], "box": [1, 2, 30, 40]},
        {"photo": "c.png", "absent": True},
    ]
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(entries))
    options = ["--prompts", file, "--prompt", "a.png", "--point", "1,1"]
    assert segment(photos, "--out", tmp_path / "out", *options) == 0
    found = [(p.image, p.positive, p.negative, p.box, p.absent) for p in asked.prompts]
    assert found == [
        (0, [(1, 1)], [], None, False),
        (1, [(5, 6)], [(7.5, 8)], (1, 2, 30, 40), False),
        (2, [], [], None, True),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "prompts.json is not JSON"),
        ("{}", "prompts.json holds no list of prompts; expected"),
        ('[{"photo": 3}]', "prompts.json, entry 1: expected an object with 'photo'"),
        ('[{"photo": "a", "point": [1, 2]}]', "entry 1: unknown field 'point'; known are photo,"),
        ('[{"photo": "a", "points": [[1]]}]', "entry 1: a point is [1]; expected 2 numbers"),
        ('[{"photo": "a", "points": [[1, NaN]]}]', "expected 2 numbers, in pixels"),
        ('[{"photo": "a", "points": [[1, 2]], "labels": []}]', "0 labels for 1 points"),
        ('[{"photo": "a", "points": [[1, 2]], "labels": [2]}]', "labels is [2]; expected 1"),
        ('[{"photo": "a", "box": [1, 2, 3]}]', "box is [1, 2, 3]; expected 4 numbers"),
        ('[{"photo": "a", "absent": 1}]', "absent is 1; expected true or false"),
        ('[{"photo": "", "absent": true}]', "prompts.json, entry 1: '' is not a path"),
        ('[{"photo": "a", "mask": "\\u0000"}]', "prompts.json, entry 1: '\\x00' is not a path"),
        ('[{"photo": "a"}]', "it shows nothing; give points, box, mask or absent"),
    ],
)
def test_a_file_of_prompts_that_cannot_be_used_is_named(content: str, message: str, tmp_path: Path):
    (tmp_path / "prompts.json").write_text(content)
    with pytest.raises(UserError) as error:
        read_prompts(tmp_path / "prompts.json")
    assert message in str(error.value)


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


@pytest.mark.slow
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
    assert message in capsys.readouterr().err
    assert not hasattr(asked, "photos")
