"""Consecutive fives: classes of every awkward size."""

import pytest
from toys import ToySource

from cosseg_jax.data.partition import EvalGroup, fives


def one_class(size: int) -> ToySource:
    return ToySource([[0]] * size, 1)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_up_to_five_are_one_group_of_their_own(size):
    assert fives(one_class(size)) == [EvalGroup(0, tuple(range(size)), (True,) * size)]


def test_the_last_five_is_completed_from_the_first():
    first, second = fives(one_class(7))
    assert first == EvalGroup(0, (0, 1, 2, 3, 4), (True,) * 5)
    assert second == EvalGroup(0, (5, 6, 0, 1, 2), (True, True, False, False, False))


def test_two_full_fives():
    assert [group.counted for group in fives(one_class(10))] == [(True,) * 5] * 2


def test_sorted_by_name_whatever_the_order_of_the_source():
    source = one_class(6)
    source.names = ["f", "b", "e", "a", "d", "c"]
    assert fives(source)[0].indices == (3, 1, 5, 4, 2)


@pytest.mark.parametrize("group_size", [1, 2, 3, 5, 100])
def test_each_photograph_counts_once_in_each_of_its_classes(group_size):
    source = ToySource([[0, 1]] * 3 + [[1]] * 8 + [[0]] * 4, 3)
    counted = [
        (group.category, index)
        for group in fives(source, group_size)
        for index, counts in zip(group.indices, group.counted, strict=True)
        if counts
    ]
    expected = [(c, int(i)) for c, members in enumerate(source.members) for i in members]
    assert sorted(counted) == sorted(expected)


def test_a_class_without_photographs_has_no_group():
    assert {group.category for group in fives(ToySource([[1]] * 2, 3))} == {1}


def test_group_size_of_nought():
    with pytest.raises(ValueError, match="group_size is 0"):
        fives(one_class(3), 0)


def test_an_empty_source():
    with pytest.raises(ValueError, match="'toy' has no photograph"):
        fives(ToySource([], 2))
