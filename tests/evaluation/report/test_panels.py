"""The panels that a report keeps of an image: small JPEGs with the right content."""

import io

import numpy as np
import pytest
from fake_source import FakeSource
from made_up import scored
from PIL import Image

from cosseg_jax.data.eval_groups import fives
from cosseg_jax.evaluation.evaluator import ScoredImage
from cosseg_jax.evaluation.report.panels import (
    PANELS,
    ReportImage,
    best_first,
    fitting,
    report_image,
)

SOURCE = FakeSource([(0,)], categories=1)  # 8 x 16, the object on the left


def made(**changes) -> ScoredImage:
    (group,) = fives(SOURCE)
    return scored(SOURCE, group, 0, 50.0, **changes)


def panel(image: ReportImage, name: str) -> np.ndarray:
    with Image.open(io.BytesIO(image.panels[PANELS.index(name)])) as opened:
        return np.asarray(opened, np.int64)


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
def test_panels_keep_their_aspect_ratio_in_the_box(shape: tuple[int, int], size: tuple[int, int]):
    assert fitting(shape) == size


def test_mask_and_truth_are_green():
    scored_image = made(image=np.full((8, 16, 3), 100, np.uint8))
    scored_image.mask[:, :12] = False
    scored_image.mask[:, 12:] = True
    image = report_image(scored_image, 1)
    for name, first, last in (("mask", 135, 180), ("truth", 0, 90)):
        pixels = panel(image, name)
        assert pixels.shape == (90, 180, 3)
        wanted = np.zeros((90, 180), bool)
        wanted[:, first:last] = True
        green = pixels[..., 1] - pixels[..., 0] > 40  # 77 inside, 0 outside
        assert (green != wanted).mean() < 0.02  # JPEG blurs the edge


def test_S_is_blue_at_its_low_end_and_red_at_its_high_end():
    pixels = panel(report_image(made(), 1), "S")
    assert pixels[0, 0, 2] > pixels[0, 0, 0] + 60
    assert pixels[-1, -1, 0] > pixels[-1, -1, 2] + 60


def test_only_the_truth_shows_void_as_grey_stripes():
    void = np.zeros((8, 16), bool)
    void[:, 8:] = True
    image = report_image(made(void=void), 1)
    striped = panel(image, "truth")[10:-10, 100:-10]
    assert np.ptp(striped, axis=-1).max() < 16  # grey
    assert striped.std() > 20  # but not flat
    assert panel(image, "mask")[10:-10, 100:-10].max() < 16


def test_nothing_large_is_kept():
    image = report_image(made(), 1)
    assert all(isinstance(content, bytes) for content in image.panels)
    assert sum(map(len, image.panels)) < 40_000
    assert not any(isinstance(value, np.ndarray) for value in image)


def test_best_first_sorts_by_J_and_then_by_place():
    image = report_image(made(), 1)
    scores = image.scores["original"]
    images = [
        image._replace(place=place, scores={"original": scores._replace(J=J)})
        for place, J in enumerate((20.0, None, 50.0, 20.0), start=1)
    ]
    assert [image.place for image in best_first(images, "original")] == [3, 1, 4]
