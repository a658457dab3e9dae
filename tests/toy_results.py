"""A small evaluation, for tests of what is made of one."""

from cosseg_jax.data.eval_groups import Grouping
from cosseg_jax.evaluation.evaluator import Evaluation
from cosseg_jax.evaluation.metrics import ProtocolScores, Scores
from cosseg_jax.evaluation.results import Figure, Result, summaries

EVALUATION = Evaluation(
    {
        "original": ProtocolScores(
            91.25, 50.5, {"bird": Scores(92.0, 61.04), "cow": Scores(90.5, None)}
        ),
        "ssnm": ProtocolScores(90.0, 49.0, {"bird": Scores(91.0, 59.0), "cow": Scores(89.0, 0.0)}),
    },
    images=12,
    groups=3,
)


def result_of(
    dataset: str = "pascal",
    *,
    group: dict[str, Figure] | None = None,
    grouping: Grouping = Grouping(),  # noqa: B008 (it is immutable)
    differences: tuple[str, ...] = (),
) -> Result:
    """The small evaluation as a result."""
    return Result(
        dataset=dataset,
        checkpoint="some/dir",
        grouping=grouping,
        images=EVALUATION.images,
        groups=EVALUATION.groups,
        protocols=summaries([EVALUATION]),
        group=group or {"shared_J": 30.0, "shared_entries": 4, "shared_images": 2},
        differences=differences,
        first=EVALUATION,
    )
