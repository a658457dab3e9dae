"""A trained network finds what its group shares, not what stands out.

`goldens/quickstart` is the export of one run of configs/quickstart.py (seed 0):
python train.py --config configs/quickstart.py --export tests/goldens/quickstart
"""

from pathlib import Path

import pytest

from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.registry import load_source
from cosseg_jax.evaluation.evaluator import GroupList, evaluate, truth_of
from cosseg_jax.predict.predictor import load

pytestmark = pytest.mark.slow

EXPORT = Path(__file__).parents[1] / "goldens" / "quickstart"


@pytest.fixture(scope="module")
def trained():
    return load(EXPORT), load_source("shapes", "unseen")


def jaccard(trained, groups: list[EvalGroup]) -> float:
    predictor, source = trained
    lists = {"groups": GroupList(groups, ("original",))}
    found = evaluate(predictor.network, source, lists)["groups"].protocols["original"].J
    assert found is not None
    return found


def test_a_group_of_five_tells_far_more_than_a_group_of_one(trained):
    groups = fives(trained[1])[::3]
    alone = [EvalGroup(group.category, (i,), (True,)) for group in groups for i in group.indices]
    together = jaccard(trained, [group._replace(counted=(True,) * 5) for group in groups])
    assert together > 45
    assert jaccard(trained, alone) < together / 2


def test_one_image_in_two_groups_gets_two_masks(trained):
    """An image with two unseen categories, in a group of each: the right object wins."""
    predictor, source = trained
    in_two = next(
        i
        for i in range(len(source))
        if len(source[i].categories) == 2 and source[i].masks.sum(axis=(1, 2)).min() > 400
    )
    example, truths, found = source[in_two], [], []
    for category in example.categories:
        others = [int(i) for i in source.members[category] if i != in_two][:4]
        images = [source[i].image for i in (in_two, *others)]
        found.append(predictor(images).images[0].probability)
        truths.append(truth_of(example, int(category)))
    for mine, other in ((0, 1), (1, 0)):
        inside = truths[mine]
        assert found[mine][inside].mean() > found[other][inside].mean()
