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
from cosseg_jax.errors import UserError
from cosseg_jax.types import Example

# category 0 has ten images, 1 thirty, 2 two; image 0 holds 0 and 2
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


def test_a_group_holds_different_images_of_its_category():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    for index in range(200):
        category, indices, _ = sampler[index]
        assert len(set(indices)) == 5
        assert set(indices) <= set(SOURCE.members[category].tolist())


def test_a_group_depends_on_seed_and_index_alone():
    one, two = (GroupSampler(SOURCE, seed=3, group_size=2) for _ in range(2))
    backwards = [two[index] for index in reversed(range(50))][::-1]
    assert [one[index] for index in range(50)] == backwards


def test_seeds_differ():
    first, second = (GroupSampler(SOURCE, seed=seed, group_size=2) for seed in (0, 1))
    assert [first[i] for i in range(10)] != [second[i] for i in range(10)]


def test_consecutive_groups_differ():
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
def test_shares_of_the_categories(sampling, share):
    sampler = GroupSampler(SOURCE, seed=0, group_size=2, options=SamplingOptions(sampling))
    drawn = np.bincount([sampler[i].category for i in range(3000)], minlength=3) / 3000
    np.testing.assert_allclose(drawn, np.array(share) / sum(share), atol=0.03)


def test_every_image_of_a_category_is_drawn():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    drawn = {i for index in range(300) for i in sampler[index].indices}
    assert drawn >= set(range(40))


def test_small_categories_are_left_out():
    sampler = GroupSampler(SOURCE, seed=0, group_size=5)
    assert sampler.excluded == (2,)
    assert {sampler[index].category for index in range(100)} == {0, 1}


def test_a_category_may_have_just_one_group():
    sampler = GroupSampler(ToySource([[0]] * 5, 1), seed=0, group_size=5)
    assert sorted(sampler[0].indices) == [0, 1, 2, 3, 4]


def test_no_category_is_large_enough():
    with pytest.raises(UserError, match=r"no category of 'toy' has the 31 .* category1 \(30\)"):
        GroupSampler(SOURCE, seed=0, group_size=31)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"group_size": 0}, "group_size is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments(bad, message):
    with pytest.raises(UserError, match=message):
        GroupSampler(SOURCE, **{"seed": 0, "group_size": 5, **bad})


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"category": "often"}, "sampling.category is 'often'; choose one of: uniform, by_size"),
        ({"multi_category": 1.5}, "sampling.multi_category is 1.5; it is a share, from 0 to 1"),
        ({"distractors": -0.1}, "sampling.distractors is -0.1"),
        ({"prompted": float("nan")}, "sampling.prompted is nan; it is a share"),
    ],
)
def test_bad_options(bad, message):
    with pytest.raises(UserError, match=message):
        SamplingOptions(**bad)


# categories 0 and 1: twelve images of each alone, eight of both; category 2: six images
MIXED = ToySource([[0]] * 12 + [[1]] * 12 + [[0, 1]] * 8 + [[2]] * 6, 3)


def drawn(count: int = 400, group_size: int = 5, **options) -> list:
    sampler = GroupSampler(MIXED, seed=0, group_size=group_size, options=SamplingOptions(**options))
    return [sampler[index] for index in range(count)]


def contents(group) -> list[set[int]]:
    return [set(MIXED.categories_of[index]) for index in group.indices]


def test_multi_category_draws_images_of_several_categories_where_there_are_enough():
    for group in drawn(multi_category=1.0):
        assert group.category in set.intersection(*contents(group))
        assert all(len(found) == (1 if group.category == 2 else 2) for found in contents(group))


def test_the_share_of_multi_category_groups():
    groups = [group for group in drawn(3000, multi_category=0.5) if group.category < 2]
    mixed = np.mean([all(len(found) == 2 for found in contents(group)) for group in groups])
    assert mixed == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_contrast_and_distractors_together(size):
    options = SamplingOptions(contrast=1.0, distractors=1.0)
    sampler = GroupSampler(MIXED, seed=0, group_size=size, options=options)
    repeated = 0
    for index in range(0, 200, 2):
        before, group = sampler[index], sampler[index + 1]
        for found in (before, group):
            assert len(set(found.indices)) == size
            assert found.distractors == (size - 1) // 2  # of sizes up to 4 the only number
            held = contents(found)
            assert all(found.category in each for each in held[: size - found.distractors])
            assert not any(found.category in each for each in held[size - found.distractors :])
        repeated += group.indices[0] in before.indices
    assert repeated > 10


def test_contrast_repeats_an_image_for_another_category():
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


@pytest.mark.slow
def test_every_image_without_the_object_is_drawn_as_a_distractor():
    for category, without in ((0, {*range(12, 24), *range(32, 38)}), (2, set(range(32)))):
        groups = [group for group in drawn(3000, distractors=1.0) if group.category == category]
        plain = [group for group in groups if len(set.intersection(*contents(group)[:3])) == 1]
        found = {index for group in plain for index in group.indices[5 - group.distractors :]}
        assert found == without


def test_without_enough_distractors_a_group_stays_as_it_is():
    source = ToySource([[0]] * 9 + [[1]], 2)
    options = SamplingOptions(distractors=1.0)
    sampler = GroupSampler(source, seed=0, group_size=5, options=options)
    assert {sampler[index].distractors for index in range(50)} == {0, 1}  # never 2


@pytest.mark.parametrize("group_size", [1, 2])
def test_a_group_too_small_for_distractors_has_none(group_size):
    assert {group.distractors for group in drawn(20, group_size, distractors=1.0)} == {0}


def test_a_share_of_0_draws_no_random_numbers():
    assert drawn(50) == drawn(50, multi_category=0.0, contrast=0.0, distractors=0.0)
    assert drawn(50)[::2] == drawn(50, contrast=1.0)[::2]


def test_shared_categories_occur_in_all_images():
    row = [True, True, True]
    group = [example([0, 1, 4], row, row, row), example([1, 4], row, row), example([1], row)]
    assert shared_categories(group) == (1,)
    assert shared_categories(group[:2]) == (1, 4)
    assert shared_categories(group[:1]) == (0, 1, 4)


def test_the_union_takes_the_shared_masks_only():
    made = example([0, 2, 5], [True, False, False, False], [False, True] * 2, [False] * 3 + [True])
    np.testing.assert_array_equal(union_mask(made, (0, 5)), [[True, False, False, True]])


def test_union_of_overlapping_masks():
    made = example([0, 1], [True, True, False], [False, True, False])
    np.testing.assert_array_equal(union_mask(made, (0, 1)), [[True, True, False]])


def test_union_of_nothing_is_empty():
    np.testing.assert_array_equal(union_mask(example([3], [True, True]), (1,)), [[False, False]])


def test_multi_hot():
    np.testing.assert_array_equal(multi_hot((0, 3), 4), np.float32([1, 0, 0, 1]))
