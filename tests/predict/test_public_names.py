"""The point of it all: a trained network finds what its group shares, not what stands out.

`goldens/quickstart` is the export of one run of configs/quickstart.py (seed 0):
python train.py --config configs/quickstart.py --export tests/goldens/quickstart
"""

from pathlib import Path

import numpy as np
import pytest

from cosseg_jax.data.eval_groups import EvalGroup, fives
from cosseg_jax.data.registry import load_source
from cosseg_jax.evaluation.evaluator import evaluate, truth_of
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.forward import make_predictor

EXPORT = Path(__file__).parent / "goldens" / "quickstart"


@pytest.fixture(scope="module")
def trained():
    config, variables = load_exported(EXPORT)
    return make_predictor(config, variables), load_source("shapes", "unseen"), config.image_size


def jaccard(trained, groups: list[EvalGroup]) -> float:
    predict, source, size = trained
    scores = evaluate(predict, source, groups, image_size=size, protocols=("original",))
    assert scores.protocols["original"].J is not None
    return scores.protocols["original"].J


def test_a_group_of_five_tells_far_more_than_a_group_of_one(trained):
    groups = fives(trained[1])[::3]
    alone = [EvalGroup(group.category, (i,), (True,)) for group in groups for i in group.indices]
    together = jaccard(trained, [group._replace(counted=(True,) * 5) for group in groups])
    assert together > 45
    assert jaccard(trained, alone) < together / 2


def test_one_picture_in_two_groups_gets_two_masks(trained):
    """A picture with two unseen categories, once among each: each time the right object wins."""
    predict, source, _ = trained
    in_two = next(
        i
        for i in range(len(source))
        if len(source[i].categories) == 2 and source[i].masks.sum(axis=(1, 2)).min() > 400
    )
    example, truths, found = source[in_two], [], []
    for category in example.categories:
        others = [int(i) for i in source.members[category] if i != in_two][:4]
        images = np.stack([source[i].image for i in (in_two, *others)])[None]  # [1, 5, H, W, 3]
        found.append(np.asarray(predict(images).probabilities)[0, 0])
        truths.append(truth_of(example, int(category)))
    for mine, other in ((0, 1), (1, 0)):
        inside = truths[mine]
        assert found[mine][inside].mean() > found[other][inside].mean()
