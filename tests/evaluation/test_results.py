"""Figures over one partition and over several, and their JSON."""

import json

import pytest
from toy_results import EVALUATION, result_of

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.evaluation import results
from cosseg_jax.evaluation.group_metrics import GroupMetrics
from cosseg_jax.evaluation.metrics import ProtocolScores, Scores
from cosseg_jax.evaluation.results import PJ, Spread, Summary


def test_one_partition_gives_a_number():
    assert results.over_partitions([51.5]) == 51.5


def test_several_partitions_give_mean_and_sample_deviation():
    # deviations -2, 0, 2: the sum of squares is 8, over K - 1 = 2
    assert results.over_partitions([50.0, 52.0, 54.0]) == Spread(52.0, 2.0, (50.0, 52.0, 54.0))


@pytest.mark.parametrize("values", [[None], [50.0, None]])
def test_a_figure_that_a_partition_does_not_define_is_undefined(values):
    assert results.over_partitions(values) is None


def test_summaries_hold_every_protocol_and_class():
    better = ProtocolScores(93.25, 50.5, {"bird": Scores(96.0, 61.04), "cow": Scores(90.5, None)})
    other = EVALUATION._replace(protocols={**EVALUATION.protocols, "original": better})
    found = results.summaries([EVALUATION, other])
    assert list(found) == ["original", "ssnm"]
    assert found["original"] == Summary(
        Spread(92.25, pytest.approx(2**0.5), (91.25, 93.25)),
        Spread(50.5, 0.0, (50.5, 50.5)),
        {
            "bird": PJ(
                Spread(94.0, pytest.approx(8**0.5), (92.0, 96.0)), Spread(61.04, 0.0, (61.04,) * 2)
            ),
            "cow": PJ(Spread(90.5, 0.0, (90.5, 90.5)), None),
        },
    )


def test_figures_of_the_first_partition():
    result = result_of(group={"shared_J": Spread(2.0, 1.0, (1.5, 2.5)), "foreign_P": 90.0})
    assert results.first_metrics(result) == GroupMetrics(shared_J=1.5, foreign_P=90.0)


def test_json_has_exactly_the_documented_keys():
    group = {"shared_J": 30.0, "shared_entries": 4, "shared_images": 2}
    found = results.as_json(result_of(group=group, differences=("9 cows",)))
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "dataset": "pascal",
        "checkpoint": "some/dir",
        "grouping": "fives",
        "group_size": 5,
        "seed": 0,
        "images": 12,
        "groups": 3,
        "protocols": {
            "original": {
                "P": 91.25,
                "J": 50.5,
                "per_class": {"bird": {"P": 92.0, "J": 61.04}, "cow": {"P": 90.5, "J": None}},
            },
            "ssnm": {
                "P": 90.0,
                "J": 49.0,
                "per_class": {"bird": {"P": 91.0, "J": 59.0}, "cow": {"P": 89.0, "J": 0.0}},
            },
        },
        "group": {
            "shared_J": 30.0,
            "shared_entries": 4,
            "shared_images": 2,
            "foreign_empty": None,
            "foreign_P": None,
            "gain_alone": None,
            "gain_unmodulated": None,
        },
        "differences": ["9 cows"],
    }


def test_json_of_several_partitions_has_each_of_them():
    spread = Spread(2.0, 1.0, (1.0, 3.0))
    result = result_of(group={"shared_J": spread}, grouping=Grouping("random", 2, 4, seed=7))
    found = results.as_json(result)
    assert (found["grouping"], found["group_size"], found["seed"]) == ("random:2", 4, 7)
    assert found["group"]["shared_J"] == {"mean": 2.0, "std": 1.0, "each": [1.0, 3.0]}


def test_json_of_whole_classes_has_no_group_size():
    assert results.as_json(result_of(grouping=Grouping("whole")))["group_size"] is None
