"""What a report keeps of a photograph: small pictures that say the right thing."""

import io

import numpy as np
import pytest
from fake_source import FakeSource
from made_up import scored
from PIL import Image

from cosseg_jax.data.eval_groups import fives
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.report.photos import PANELS, Photo, best_first, fitting, photo_of

SOURCE = FakeSource([(0,)], categories=1)  # 8 x 16, the object at the left


def image(**changes) -> ScoredImage:
    (group,) = fives(SOURCE)
    return scored(SOURCE, group, 0, 50.0, **changes)


def panel(photo: Photo, name: str) -> np.ndarray:
    with Image.open(io.BytesIO(photo.panels[PANELS.index(name)])) as picture:
        return np.asarray(picture, np.int64)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((250, 375), (120, 180)),
        ((375, 250), (150, 100)),
        ((10, 12), (150, 180)),
        ((5, 4000), (1, 180)),
        ((1000, 1), (150, 1)),
    ],
)
def test_pictures_keep_their_aspect_in_the_box(shape: tuple[int, int], size: tuple[int, int]):
    assert fitting(shape) == size


def test_mask_and_truth_are_green_where_they_lie():
    made = image(image=np.full((8, 16, 3), 100, np.uint8))
    made.probability[:, :12] = 0.5
    made.probability[:, 12:] = 0.51
    photo = photo_of(made, 1)
    for name, first, last in (("mask", 135, 180), ("truth", 0, 90)):
        picture = panel(photo, name)
        assert picture.shape == (90, 180, 3)
        wanted = np.zeros((90, 180), bool)
        wanted[:, first:last] = True
        green = picture[..., 1] - picture[..., 0] > 40  # 77 inside, 0 outside
        assert (green != wanted).mean() < 0.02  # JPEG blurs the edge


def test_S_is_blue_at_its_low_end_and_red_at_its_high_end():
    picture = panel(photo_of(image(), 1), "S")
    assert picture[0, 0, 2] > picture[0, 0, 0] + 60
    assert picture[-1, -1, 0] > picture[-1, -1, 2] + 60


def test_void_is_striped_grey_in_the_truth_alone():
    void = np.zeros((8, 16), bool)
    void[:, 8:] = True
    photo = photo_of(image(void=void), 1)
    striped = panel(photo, "truth")[10:-10, 100:-10]
    assert np.ptp(striped, axis=-1).max() < 16  # grey
    assert striped.std() > 20  # but not flat
    assert panel(photo, "mask")[10:-10, 100:-10].max() < 16


def test_nothing_large_is_kept():
    photo = photo_of(image(), 1)
    assert all(isinstance(content, bytes) for content in photo.panels)
    assert sum(map(len, photo.panels)) < 40_000
    assert not any(isinstance(value, np.ndarray) for value in photo)


def test_ranks_fall_by_J_and_equal_ones_keep_their_place():
    made = photo_of(image(), 1)
    scores = made.scores["original"]
    photos = [
        made._replace(place=place, scores={"original": scores._replace(J=J)})
        for place, J in enumerate((20.0, None, 50.0, 20.0), start=1)
    ]
    assert [photo.place for photo in best_first(photos, "original")] == [3, 1, 4]
