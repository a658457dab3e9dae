"""What prompts show of an image: points, boxes, masks, positive and negative, several of them."""

import math

import numpy as np
import pytest

from cosseg_jax.data.prompts import Prompt, by_image, coverage, marked, region
from cosseg_jax.errors import UserError

HEIGHT, WIDTH = 60, 100  # a point's disc has a radius of 5 pixels


def test_a_point_stands_for_a_disc():
    found = marked([Prompt(0, point=(50, 30))], HEIGHT, WIDTH)
    assert found.shown.sum() == pytest.approx(np.pi * 25, rel=0.05)
    assert found.sure[30, 50]
    assert not found.excluded.any()


def test_one_point_and_a_list_of_it_are_the_same():
    one, other = Prompt(0, point=(7, 9)), Prompt(0, points=[(7, 9)])
    assert one.positive == other.positive == [(7, 9)]
    np.testing.assert_array_equal(region(one, HEIGHT, WIDTH), region(other, HEIGHT, WIDTH))


def test_labels_part_points_and_pixels_between_go_to_the_nearer_one():
    prompt = Prompt(0, points=[(50, 30), (56, 30)], labels=[1, 0])
    found = marked([prompt], HEIGHT, WIDTH)
    assert found.sure[30, 50:53].all()
    assert found.excluded[30, 53:57].all()
    assert not (found.shown & found.excluded).any()


def test_a_negative_point_cuts_into_a_box_and_a_mask():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:50, 10:90] = True
    for shape in ({"box": (10, 10, 90, 50)}, {"mask": mask}):
        found = marked(
            [Prompt(0, **shape), Prompt(0, points=[(50, 30)], labels=[0])], HEIGHT, WIDTH
        )
        assert found.excluded[30, 50]
        assert not found.shown[30, 50]
        assert found.shown[12, 12]


def test_what_is_not_the_object_is_left_out_except_near_a_point_on_it():
    excluded = np.zeros((HEIGHT, WIDTH), bool)
    excluded[:, :50] = True
    found = marked(
        [Prompt(0, mask=~excluded | True), Prompt(0, excluded=excluded, point=(20, 20))],
        HEIGHT,
        WIDTH,
    )
    disc = marked([Prompt(0, point=(20, 20))], HEIGHT, WIDTH).shown
    np.testing.assert_array_equal(found.excluded, excluded & ~disc)
    np.testing.assert_array_equal(found.sure, ~excluded | disc)
    alone = marked([Prompt(0, excluded=excluded)], HEIGHT, WIDTH)
    assert not alone.shows_object
    with pytest.raises(UserError, match="mask is empty"):
        marked([Prompt(0, excluded=np.zeros_like(excluded))], HEIGHT, WIDTH)


def test_a_box_alone_is_not_the_object_and_beside_points_says_nothing_more():
    box = marked([Prompt(0, box=(10, 10, 40, 40))], HEIGHT, WIDTH)
    assert box.shown.sum() == 900
    assert not box.sure.any()
    both = marked([Prompt(0, point=(20, 20), box=(10, 10, 40, 40))], HEIGHT, WIDTH)
    np.testing.assert_array_equal(both.shown, region(Prompt(0, point=(20, 20)), HEIGHT, WIDTH))


def test_prompts_of_one_image_add_up():
    first, second = Prompt(3, point=(10, 10)), Prompt(3, point=(90, 50))
    together = marked([first, second], HEIGHT, WIDTH).shown
    apart = region(first, HEIGHT, WIDTH) | region(second, HEIGHT, WIDTH)
    np.testing.assert_array_equal(together, apart)
    assert by_image([first, Prompt(1, absent=True), second])[3] == [first, second]


def test_where_the_object_is_absent_everything_is_excluded():
    found = marked([Prompt(0, absent=True)], HEIGHT, WIDTH)
    assert found.excluded.all()
    assert not found.shows_object


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "takes points, a box, a mask or several of them, or absent; found none"),
        ({"point": (1, 2), "absent": True}, "a mask as well as absent"),
        ({"points": [(1, 2)], "labels": []}, "0 labels for 1 points"),
        ({"point": (1, math.nan)}, r"a point is \(1, nan\); expected 2 finite numbers"),
        ({"points": [(1, 10**400)]}, r"a point is \(1, 1000.*; expected 2 finite numbers"),
        ({"box": (1, 2, math.inf, 4)}, r"a box is \(1, 2, inf, 4\); expected 4 finite numbers"),
        ({"points": [(1, 2)], "labels": [2]}, "a point has the label 2; give 1 on the object"),
    ],
)
def test_prompts_that_contradict_themselves_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        Prompt(0, **given)


def test_prompts_that_contradict_each_other_are_refused():
    with pytest.raises(UserError, match="the prompts of image 4 show the object and say that it"):
        marked([Prompt(4, absent=True), Prompt(4, point=(1, 1))], HEIGHT, WIDTH)


def test_a_negative_point_outside_the_image_is_named():
    with pytest.raises(UserError, match="point 200,3 is outside the photo of 100 x 60"):
        marked([Prompt(0, points=[(200, 3)], labels=[0])], HEIGHT, WIDTH)


def test_coverage_gives_a_small_region_the_whole_weight_of_its_cell():
    pixels = np.zeros((40, 40), bool)
    pixels[5, 25] = True
    expected = np.zeros((2, 2))
    expected[0, 1] = 1
    np.testing.assert_allclose(coverage(pixels, 2, 2), expected)
