"""The PNG sheets of a report: their sizes and the places of their panels."""

import io

import numpy as np
import pytest
from fake_source import FakeSource
from made_up import scored
from PIL import Image

from cosseg_jax.data.eval_groups import EvalGroup
from cosseg_jax.evaluation.report import sheets
from cosseg_jax.evaluation.report.panels import ReportGroup, mean_scores, report_image

SOURCE = FakeSource([(0,)] * 30, categories=1)  # panels of 90 x 180 and 150 x 150 in turn


def shown(jaccards: list[float | None], category: str = "a", place: int = 1) -> ReportGroup:
    group = EvalGroup(0, tuple(range(len(jaccards))), (True,) * len(jaccards))
    images = tuple(
        report_image(scored(SOURCE, group, index, J), index + 1) for index, J in enumerate(jaccards)
    )
    return ReportGroup(place, category, place, images, (), mean_scores(images))


def pasted(sheet: Image.Image, left: int, top: int, content: bytes) -> bool:
    """Whether the sheet shows a panel there, to the pixel."""
    with Image.open(io.BytesIO(content)) as panel:
        width, height = panel.size
        return np.array_equal(
            np.asarray(sheet.crop((left, top, left + width, top + height))), np.asarray(panel)
        )


def test_a_group_has_a_column_per_image_and_a_row_per_panel():
    group = shown([10.0, 20.0])
    sheet = sheets.group_sheet(group, "original")
    # margin 10, title 20, margin 10; labels 90; J 14 + 4; rows of 150 + 4; margin 10
    assert sheet.size == (10 + 90 + 180 + 4 + 150 + 4 + 10, 40 + 18 + 4 * 154 + 10)
    for row in range(4):
        top = 40 + 18 + row * 154
        assert pasted(sheet, 100, top + 30, group.images[0].panels[row])  # 30: in the middle
        assert pasted(sheet, 100 + 184, top, group.images[1].panels[row])


def test_a_large_group_continues_below_up_to_a_limit():
    nine = sheets.group_sheet(shown([1.0] * 9), "original")
    eight = sheets.group_sheet(shown([1.0] * 8), "original")
    assert nine.width == eight.width
    assert nine.height - eight.height == 18 + 4 * (90 + 4) + 10
    thirty = sheets.group_sheet(shown([1.0] * 30), "original")
    assert thirty.height == 40 + 3 * (18 + 4 * 154 + 10)


def test_the_best_and_the_worst_groups_are_drawn():
    groups = [shown([J], place=place) for place, J in enumerate((30.0, 90.0, None, 60.0), start=1)]
    drawn = sheets.draw_sheets(groups, "original")
    kinds = [f"{kind}_{rank}.png" for kind in ("best", "worst") for rank in (1, 2, 3)]
    assert set(drawn) == {"overview.png", *kinds}
    assert set(drawn) <= set(sheets.SHEETS)
    for name, place in (("best_1", 2), ("best_3", 1), ("worst_1", 1), ("worst_2", 4)):
        expected = sheets.group_sheet(groups[place - 1], "original")
        with Image.open(io.BytesIO(drawn[f"{name}.png"])) as image:
            assert image.format == "PNG"
            assert image.tobytes() == expected.tobytes()


def test_the_overview_has_a_line_for_each_class():
    one = sheets.overview([shown([1.0])], "original")
    two = sheets.overview([shown([1.0]), shown([2.0, 3.0], "b", 2)], "original")
    assert one.height == 10 + (54 + 4) + 10  # 54: 0.6 of 90
    assert two.height == 10 + (54 + 4) + (90 + 4) + 10
    three = sheets.overview([shown([1.0]), shown([2.0], "b", 2)], "original")
    assert two.width - three.width == 2 * 90 + 3 * 4  # an image of 0.6 of 150 and its mask


@pytest.mark.parametrize(
    ("jaccards", "drawn"), [((10.0, 90.0, 50.0), 2), ((None, 70.0, None), 1), ((None, None), 0)]
)
def test_the_overview_shows_the_group_of_median_J(jaccards: tuple[float | None, ...], drawn: int):
    groups = [shown([J], place=place) for place, J in enumerate(jaccards, start=1)]
    alone = sheets.overview([groups[drawn]], "original")
    assert sheets.overview(groups, "original").tobytes() == alone.tobytes()


def test_the_overview_prefers_full_groups():
    full, rest = shown([10.0, 12.0]), shown([90.0], place=2)
    both = sheets.overview([full, rest], "original")
    assert both.tobytes() == sheets.overview([full], "original").tobytes()


def test_any_name_can_be_drawn():
    group = shown([None], category="猫 <b>& " + "x" * 200)
    assert sheets.group_sheet(group, "original").width > 1000
    assert sheets.overview([group], "original").width > 1000
