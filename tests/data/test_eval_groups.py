"""Consecutive fives, whole classes and random groups, of classes of every size."""

import pytest
from fake_source import FakeSource, Shuffled
from toys import ToySource

from cosseg_jax.data.eval_groups import EvalGroup, Grouping, fives, parse_grouping, partitions
from cosseg_jax.errors import UserError


def one_class(size: int) -> ToySource:
    return ToySource([[0]] * size, 1)


@pytest.mark.parametrize("size", [1, 4, 5])
def test_up_to_five_images_are_one_group(size):
    assert fives(one_class(size)) == [EvalGroup(0, tuple(range(size)), (True,) * size)]


def test_the_last_group_is_completed_by_the_first_images():
    first, second = fives(one_class(7))
    assert first == EvalGroup(0, (0, 1, 2, 3, 4), (True,) * 5)
    assert second == EvalGroup(0, (5, 6, 0, 1, 2), (True, True, False, False, False))


def test_two_full_fives():
    assert [group.counted for group in fives(one_class(10))] == [(True,) * 5] * 2


def test_images_are_sorted_by_name():
    source = one_class(6)
    source.names = ["f", "b", "e", "a", "d", "c"]
    assert fives(source)[0].indices == (3, 1, 5, 4, 2)


@pytest.mark.parametrize("group_size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("way", ["fives", "whole", "random:3"])
def test_each_image_counts_once_in_each_of_its_classes(way, group_size):
    source = ToySource([[0, 1]] * 3 + [[1]] * 8 + [[0]] * 4, 3)
    expected = [(c, int(i)) for c, members in enumerate(source.members) for i in members]
    for partition in partitions(source, parse_grouping(way, group_size)):
        counted = [
            (group.category, index)
            for group in partition
            for index, counts in zip(group.indices, group.counted, strict=True)
            if counts
        ]
        assert sorted(counted) == sorted(expected)


def test_a_whole_class_is_one_group():
    source = ToySource([[0]] * 7 + [[1]], 2)
    assert partitions(source, Grouping("whole")) == [
        [EvalGroup(0, (0, 1, 2, 3, 4, 5, 6), (True,) * 7), EvalGroup(1, (7,), (True,))]
    ]


def test_random_groups_have_the_size_and_no_image_twice():
    groups = partitions(one_class(11), Grouping("random", size=4))[0]
    assert [group.counted for group in groups] == [(True,) * 4, (True,) * 4, (True,) * 3 + (False,)]
    assert all(len(set(group.indices)) == 4 for group in groups)
    assert groups[-1].indices[-1] == groups[0].indices[0]


def test_random_partitions_differ_and_depend_on_their_seed():
    source = one_class(20)
    found = partitions(source, Grouping("random", repeats=3))
    assert found == partitions(source, Grouping("random", repeats=3))
    others = partitions(source, Grouping("random", repeats=3, seed=1))
    fingerprints = {tuple(partition) for partition in (*found, *others, fives(source))}
    assert len(fingerprints) == 7


def test_the_shuffling_of_a_class_does_not_depend_on_other_classes():
    alone = FakeSource([(1,)] * 9)
    among = FakeSource([(1,)] * 9 + [(0,)] * 4)
    random = Grouping("random")
    of_class = [group for group in partitions(among, random)[0] if group.category == 1]
    assert of_class == partitions(alone, random)[0]


def by_name(source, grouping: Grouping) -> list[set]:
    return [
        {
            (
                source.categories[group.category],
                tuple(source.names[index] for index in group.indices),
                group.counted,
            )
            for group in partition
        }
        for partition in partitions(source, grouping)
    ]


@pytest.mark.parametrize("way", ["fives", "whole", "random:2"])
def test_groups_do_not_depend_on_the_order_of_the_source(way: str):
    source = FakeSource([(0,)] * 7 + [(1, 2)] * 6 + [(2,)] * 3)
    grouping = parse_grouping(way)
    for seed in range(3):
        assert by_name(Shuffled(source, seed), grouping) == by_name(source, grouping)


def test_a_grouping_is_parsed_and_printed():
    assert parse_grouping("fives", size=7) == Grouping("fives", 1, 7, 0)
    assert parse_grouping("random:12", seed=3) == Grouping("random", 12, 5, 3)
    assert [str(parse_grouping(text)) for text in ("whole", "random:2")] == ["whole", "random:2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("random", "random:5"),
        ("random:0", "'random:0'.* 1 or more"),
        ("random:x", "'random:x'.* 1 or more"),
        ("random:-1", "'random:-1'.* 1 or more"),
        ("random:1.5", "'random:1.5'.* 1 or more"),
        ("whole:2", "only random takes a number"),
        ("sixes", "'sixes'; choose one of: fives, whole, random:K"),
        ("", "''; choose one of: fives, whole, random:K"),
    ],
)
def test_the_error_for_a_bad_grouping_lists_what_is_valid(text: str, message: str):
    with pytest.raises(UserError, match=message):
        parse_grouping(text)


def test_a_negative_seed():
    with pytest.raises(UserError, match="seed is -1"):
        parse_grouping("random:2", seed=-1)


def test_a_class_without_images_has_no_group():
    assert {group.category for group in fives(ToySource([[1]] * 2, 3))} == {1}


def test_a_group_size_of_0():
    with pytest.raises(UserError, match="group_size is 0"):
        fives(one_class(3), 0)


def test_an_empty_source():
    with pytest.raises(UserError, match="'toy' has no image"):
        fives(ToySource([], 2))
