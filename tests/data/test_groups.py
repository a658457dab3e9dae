"""Sampling of groups and the union rule."""

import numpy as np
import pytest
from toys import ToySource

from cosseg_jax.data.groups import (
    GroupSampler,
    SamplingOptions,
    multi_hot,
    shared_categories,
    union_mask,
)
from cosseg_jax.types import Example

# category 0: ten photographs, 1: thirty, 2: two; photograph 0 holds 0 and 2
SOURCE = ToySource([[0, 2]] + [[0]] * 9 + [[1]] * 30 + [[2]], 3)


def example(categories: list[int], *masks: list[bool]) -> Example:
    shape = (1, len(masks[0]) if masks else 3)
    return Example(
        image=np.zeros((*shape, 3), np.uint8),
        masks=np.array(masks, dtype=bool).reshape(len(masks), *shape),  # [K, 1, W]
        void=np.zeros(shape, bool),
        categories=np.array(categories, dtype=np.int64),
        name="made",
    )


def test_a_group_holds_different_photographs_of_its_category():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    for index in range(200):
        category, indices, _ = sampler[index]
        assert len(set(indices)) == 5
        assert set(indices) <= set(SOURCE.members[category].tolist())


def test_a_group_is_a_function_of_seed_and_index():
    one, two = (GroupSampler(SOURCE, seed=3, group_size=2) for _ in range(2))
    backwards = [two[index] for index in reversed(range(50))][::-1]
    assert [one[index] for index in range(50)] == backwards


def test_seeds_differ():
    first, second = (GroupSampler(SOURCE, seed=seed, group_size=2) for seed in (0, 1))
    assert [first[i] for i in range(10)] != [second[i] for i in range(10)]


def test_groups_after_one_another_differ():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    assert len({sampler[index] for index in range(50)}) > 45


@pytest.mark.parametrize(
    ("sampling", "share"),
    [
        ("uniform", (1 / 3, 1 / 3, 1 / 3)),
        ("by_size", (10, 30, 2)),
        ("by_root", (10**0.5, 30**0.5, 2**0.5)),
    ],
)
def test_share_of_the_categories(sampling, share):
    sampler = GroupSampler(SOURCE, seed=0, group_size=2, options=SamplingOptions(sampling))
    drawn = np.bincount([sampler[i].category for i in range(3000)], minlength=3) / 3000
    np.testing.assert_allclose(drawn, np.array(share) / sum(share), atol=0.03)


def test_every_photograph_of_a_category_is_drawn():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    drawn = {i for index in range(300) for i in sampler[index].indices}
    assert drawn >= set(range(40))


def test_small_categories_are_left_out_and_said():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    assert sampler.excluded == (2,)
    assert {sampler[index].category for index in range(100)} == {0, 1}


def test_a_category_of_exactly_one_group_takes_part():
    sampler = GroupSampler(ToySource([[0]] * 5, 1), seed=0, group_size=5)
    assert sorted(sampler[0].indices) == [0, 1, 2, 3, 4]


def test_no_category_is_large_enough():
    with pytest.raises(ValueError, match=r"no category of 'toy' has the 31 .* category1 \(30\)"):
        GroupSampler(SOURCE, seed=0, group_size=31)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"group_size": 0}, "group_size is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments(bad, message):
    with pytest.raises(ValueError, match=message):
        GroupSampler(SOURCE, **{"seed": 0, "group_size": 5, **bad})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"category": "often"}, "sampling.category is 'often'; choose one of: uniform, by_size"),
        ({"multi_category": 1.5}, "sampling.multi_category is 1.5; it is a share, from 0 to 1"),
        ({"distractors": -0.1}, "sampling.distractors is -0.1"),
        ({"smallest": -1}, "sampling.smallest is -1; it is a size, or 0"),
    ],
)
def test_bad_options(bad, message):
    with pytest.raises(ValueError, match=message):
        SamplingOptions(**bad)


# categories 0 and 1: twelve photographs each of one alone, eight of both; 2: six alone
MIXED = ToySource([[0]] * 12 + [[1]] * 12 + [[0, 1]] * 8 + [[2]] * 6, 3)


def drawn(count: int = 400, group_size: int = 5, **options) -> list:
    sampler = GroupSampler(MIXED, seed=0, group_size=group_size, options=SamplingOptions(**options))
    return [sampler[index] for index in range(count)]


def contents(group) -> list[set[int]]:
    return [set(MIXED.categories_of[index]) for index in group.indices]


def test_several_draws_photographs_of_several_categories_where_there_are_enough():
    for group in drawn(multi_category=1.0):
        assert group.category in set.intersection(*contents(group))
        assert all(len(found) == (1 if group.category == 2 else 2) for found in contents(group))


def test_a_share_of_several():
    groups = [group for group in drawn(3000, multi_category=0.5) if group.category < 2]
    mixed = np.mean([all(len(found) == 2 for found in contents(group)) for group in groups])
    assert mixed == pytest.approx(0.5, abs=0.05)


def test_sizes_of_steps_lie_between_the_smallest_and_the_largest():
    options = SamplingOptions(smallest=2)
    one, two = (GroupSampler(MIXED, seed=seed, group_size=5, options=options) for seed in (0, 1))
    sizes = [one.size_at(step) for step in range(2000)]
    np.testing.assert_allclose(
        np.bincount(sizes, minlength=6) / 2000, [0, 0] + [0.25] * 4, atol=0.03
    )
    assert np.mean(sizes) == pytest.approx(options.mean_size(5), abs=0.1)
    assert sizes != [two.size_at(step) for step in range(2000)]
    plain = GroupSampler(MIXED, seed=0, group_size=5)
    assert {plain.size_at(step) for step in range(100)} == {5}
    assert SamplingOptions().mean_size(5) == 5


def test_the_smallest_size_is_not_above_the_largest():
    with pytest.raises(ValueError, match=r"smallest is 6, but group_size, the largest, is 5"):
        GroupSampler(MIXED, seed=0, group_size=5, options=SamplingOptions(smallest=6))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_smaller_groups_keep_what_groups_are(size):
    options = SamplingOptions(contrast=1.0, distractors=1.0)
    sampler = GroupSampler(MIXED, seed=0, group_size=5, options=options)
    repeated = 0
    for index in range(0, 200, 2):
        before, group = sampler.group(index, size), sampler.group(index + 1, size)
        for found in (before, group):
            assert len(set(found.indices)) == size
            assert found.distractors == (size - 1) // 2  # of sizes up to 4 the only number
            held = contents(found)
            assert all(found.category in each for each in held[: size - found.distractors])
            assert not any(found.category in each for each in held[size - found.distractors :])
        repeated += group.indices[0] in before.indices
    assert repeated > 10


def test_contrast_repeats_a_photograph_for_another_category():
    groups = drawn(contrast=1.0)
    repeated = 0
    for before, group in zip(groups[::2], groups[1::2], strict=True):
        assert len(set(group.indices)) == 5
        assert all(group.category in found for found in contents(group))
        assert group.distractors == 0
        shared = set.intersection(*contents(before))
        if any(found - shared for found in contents(before)):
            assert group.indices[0] in before.indices
            assert group.category not in shared
            repeated += 1
    assert repeated > 50


def test_distractors_lack_what_the_others_share():
    counts = []
    for group in drawn(distractors=1.0):
        members = contents(group)[: 5 - group.distractors]
        shared = set.intersection(*members)
        assert group.category in shared
        assert all(not found & shared for found in contents(group)[5 - group.distractors :])
        assert len(set(group.indices)) == 5
        counts.append(group.distractors)
    assert set(counts) == {1, 2}  # less than half of five


@pytest.mark.parametrize("group_size", [1, 2])
def test_a_group_too_small_for_distractors_has_none(group_size):
    assert {group.distractors for group in drawn(20, group_size, distractors=1.0)} == {0}


def test_without_options_a_share_draws_nothing_from_the_stream():
    assert drawn(50) == drawn(50, multi_category=0.0, contrast=0.0, distractors=0.0)
    assert drawn(50)[::2] == drawn(50, contrast=1.0)[::2]


def test_shared_are_the_categories_of_all():
    row = [True, True, True]
    group = [example([0, 1, 4], row, row, row), example([1, 4], row, row), example([1], row)]
    assert shared_categories(group) == (1,)
    assert shared_categories(group[:2]) == (1, 4)
    assert shared_categories(group[:1]) == (0, 1, 4)


def test_union_is_of_the_shared_masks_only():
    made = example([0, 2, 5], [True, False, False, False], [False, True] * 2, [False] * 3 + [True])
    np.testing.assert_array_equal(union_mask(made, (0, 5)), [[True, False, False, True]])


def test_union_of_overlapping_masks():
    made = example([0, 1], [True, True, False], [False, True, False])
    np.testing.assert_array_equal(union_mask(made, (0, 1)), [[True, True, False]])


def test_union_of_nothing_is_empty():
    np.testing.assert_array_equal(union_mask(example([3], [True, True]), (1,)), [[False, False]])


def test_multi_hot():
    np.testing.assert_array_equal(multi_hot((0, 3), 4), np.float32([1, 0, 0, 1]))
