"""The metrics that measure whether a network uses its group."""

import numpy as np
import pytest
from fake_source import FakeSource, Shuffled, perfect, segmenter

from cosseg_jax.data.eval_groups import fives
from cosseg_jax.evaluation import group_metrics, metrics
from cosseg_jax.evaluation.evaluator import GroupList, evaluate
from cosseg_jax.evaluation.group_metrics import GroupMetrics
from cosseg_jax.types import Example


def run(predict, source, groups, *, on_image=None):
    lists = {"own": GroupList(groups, on_image=on_image)}
    return evaluate(segmenter(predict), source, lists)["own"]


class SharedSource(FakeSource):
    """Images 0 and 5 are the same picture, entered for category 0 and for category 1."""

    def __init__(self):
        super().__init__([(0,)] * 5 + [(1,)] * 5 + [(2,)] * 3)

    def __getitem__(self, index: int) -> Example:
        example = super().__getitem__(index)
        if index not in (0, 5):
            return example
        left = np.arange(16)[None] < 8  # [1, 16]
        mask = np.repeat(left if index == 0 else ~left, 8, axis=0)  # [8, 16]
        image = np.zeros((8, 16, 3), np.uint8)
        image[:, :8, 0] = 200
        return example._replace(image=image, masks=mask[None], void=np.zeros_like(mask))


def test_shared_jaccard_is_over_images_of_several_classes():
    source = SharedSource()
    shared = group_metrics.SharedImages()
    run(perfect, source, fives(source), on_image=shared)
    # the network takes the left half: all of the mask for category 0, nothing of the other
    assert shared.result() == GroupMetrics(shared_J=50.0, shared_entries=2, shared_images=1)


def test_without_shared_images_there_is_no_shared_jaccard():
    source = FakeSource([(0,)] * 5 + [(1,)] * 5)
    shared = group_metrics.SharedImages()
    run(perfect, source, fives(source), on_image=shared)
    assert shared.result() == GroupMetrics()


def test_foreign_groups_hold_an_image_and_four_of_a_class_it_lacks():
    source = SharedSource()
    groups = group_metrics.foreign_groups(source, fives(source))
    own = {index: {int(source[index].categories[0])} for index in range(len(source))}
    own[0] = own[5] = {0, 1}  # one picture
    assert [group.indices[0] for group in groups] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    for group in groups:
        assert group.category not in own[group.indices[0]]
        assert all(group.category in own[index] for index in group.indices[1:])
        assert group.counted == (True, False, False, False, False)
    assert groups == group_metrics.foreign_groups(source, fives(source))


def test_foreign_groups_are_drawn_from_the_seed():
    source = FakeSource([(0,)] * 8 + [(1,)] * 8 + [(2,)] * 8)
    drawn = {tuple(group_metrics.foreign_groups(source, fives(source), seed)) for seed in range(3)}
    assert len(drawn) == 3


def test_foreign_groups_do_not_depend_on_the_order_of_the_source():
    source = SharedSource()

    def by_name(some):
        return {
            (some.categories[group.category], *(some.names[index] for index in group.indices))
            for group in group_metrics.foreign_groups(some, fives(some))
        }

    for seed in range(3):
        assert by_name(Shuffled(source, seed)) == by_name(source)


def group_reader(images):
    """Finds the object only where the group's green channel says one category."""
    categories = np.asarray(images)[:, :, 0, 0, 1] // 5  # [B, N]
    same = (categories == categories[:, :1]).all(axis=1)  # [B]
    grown = same & (categories.shape[1] > 1)
    return np.asarray(perfect(images)) * grown[:, None, None, None]


@pytest.mark.parametrize(
    ("predict", "expected"),
    [
        (perfect, GroupMetrics(foreign_empty=0.0, foreign_P=50.0)),
        (group_reader, GroupMetrics(foreign_empty=100.0, foreign_P=100.0)),
    ],
)
def test_only_a_network_that_uses_its_group_leaves_foreign_images_empty(predict, expected):
    source = FakeSource([(0,)] * 5 + [(1,)] * 5)
    foreign = group_metrics.ForeignImages()
    run(predict, source, group_metrics.foreign_groups(source, fives(source)), on_image=foreign)
    assert foreign.result() == expected


def test_without_foreign_groups_their_metrics_are_undefined():
    assert group_metrics.ForeignImages().result() == GroupMetrics()


@pytest.mark.parametrize(("predict", "expected"), [(perfect, 0.0), (group_reader, 100.0)])
def test_only_a_network_that_reads_its_group_gains_by_it(predict, expected):
    source = FakeSource([(0,)] * 5 + [(1,)] * 5)
    own = run(predict, source, fives(source))
    other = run(predict, source, group_metrics.alone(fives(source)))
    assert group_metrics.gain(own, other) == expected


def test_with_one_class_no_group_is_foreign():
    source = FakeSource([(0,)] * 5, categories=1)
    assert group_metrics.foreign_groups(source, fives(source)) == []


def test_gain_is_undefined_where_a_jaccard_is():
    source = FakeSource([(0,)])
    own = run(perfect, source, fives(source))
    nothing = metrics.ProtocolScores(100.0, None, {})
    other = own._replace(protocols={**own.protocols, "original": nothing})
    assert group_metrics.gain(own, other) is None
