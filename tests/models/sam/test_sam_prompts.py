"""Prompts as arrays."""

import numpy as np
import pytest

from cosseg_jax.models.sam.prompts import prompt_of, stack


def test_points_without_a_box_get_sams_padding_point():
    prompt = prompt_of([(1, 2)], [(3, 4), (5, 6)])
    np.testing.assert_array_equal(prompt.points, [[1, 2], [3, 4], [5, 6], [0, 0]])
    np.testing.assert_array_equal(prompt.labels, [1, 0, 0, -1])


def test_a_box_is_its_two_corners():
    prompt = prompt_of([(1, 2)], box=(3, 4, 5, 6))
    np.testing.assert_array_equal(prompt.points, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(prompt.labels, [1, 2, 3])


def test_shorter_prompts_are_filled_up_with_absent_points():
    points, labels = stack([prompt_of([(1, 2)]), prompt_of([(1, 2)], box=(3, 4, 5, 6))], 4)
    assert points.shape == (2, 4, 2)
    np.testing.assert_array_equal(labels, [[1, -1, -2, -2], [1, 2, 3, -2]])


def test_a_prompt_without_points_has_absent_ones_alone():
    np.testing.assert_array_equal(stack([prompt_of()]).labels, [[-2]])


def test_by_default_prompts_are_as_long_as_the_longest():
    assert stack([prompt_of([(1, 2)]), prompt_of(box=(1, 2, 3, 4))]).labels.shape == (2, 2)


def test_too_many_points_are_refused():
    with pytest.raises(ValueError, match=r"a prompt of 4 points .*, of 3 at most"):
        stack([prompt_of([(1, 2)] * 3)], 3)


@pytest.mark.parametrize("box", [(1, 2, 3, 4, 5, 6), (1, 2)])
def test_a_box_of_other_than_four_numbers_is_refused(box):
    with pytest.raises(ValueError, match="give left, top, right, bottom"):
        prompt_of(box=box)


def test_points_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match=r"positive has the shape \(1, 3\); give pairs"):
        prompt_of([(1, 2, 3)])
