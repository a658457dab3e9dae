"""Scores object proposals by features that hold for every category (`proposal_features`).

Two scorers, each the mean of a few small MLPs. The second one sees what the first one found in the
other images of the group.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float

from cosseg_jax.errors import MissingFileError, UserError
from cosseg_jax.models.pretrained.archives import read_npz
from cosseg_jax.models.pretrained.fit import check_finite, check_fit
from cosseg_jax.models.proposal_features import (
    NUM_FEATURES,
    NUM_GROUP_FEATURES,
    DescribedImage,
    agreement_features,
    group_features,
)
from cosseg_jax.types import Ndarray

LIMIT = 5.0  # standard deviations to which features are clipped
PRECISION, IOU = 0, 1  # columns of the scores


class ProposalScorer(nn.Module):
    """The precision of a proposal (how much of it is the object) and its IoU with the object.

    members: MLPs whose mean is taken.
    width: of their two hidden layers.
    dropout: of the first hidden layer, while training.
    """

    members: int = 3
    width: int = 48
    dropout: float = 0.2

    @nn.compact
    def __call__(
        self, features: Float[Array | Ndarray, "P F"], *, train: bool = False
    ) -> Float[Array, "members P 2"]:
        """The scores, 0..1, of each member."""
        size = features.shape[1:]
        mean = self.variable("statistics", "mean", jnp.zeros, size)
        deviation = self.variable("statistics", "deviation", jnp.ones, size)
        x = (features - mean.value[None]) / deviation.value[None]
        x = jnp.clip(x, -LIMIT, LIMIT)  # [P, F]
        return jnp.stack([self._member(x, number, train) for number in range(self.members)])

    def _member(self, x: Array, number: int, train: bool) -> Float[Array, "P 2"]:
        x = nn.relu(nn.Dense(self.width, name=f"member_{number}_first")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.relu(nn.Dense(self.width, name=f"member_{number}_second")(x))
        return nn.sigmoid(nn.Dense(2, name=f"member_{number}_scores")(x))


class Scorers(NamedTuple):
    """The variables of both scorers, `params` and `statistics`."""

    first: Any
    second: Any


def scores(
    variables: Any, features: Sequence[Float[Ndarray, "_ F"]]
) -> list[Float[Ndarray, "_ 2"]]:
    """The scores of each image's proposals."""
    ends = np.cumsum([len(each) for each in features])[:-1]
    together = np.concatenate(features)
    rows = -(-max(len(together), 1) // 256) * 256  # few different shapes are compiled
    padded = np.zeros((rows, together.shape[1]), np.float32)
    padded[: len(together)] = together
    found = np.asarray(_mean_scores(variables, padded))[: len(together)]
    return np.split(found, ends)


@jax.jit
def _mean_scores(variables: Any, features: Array) -> Float[Array, "P 2"]:
    found: Any = ProposalScorer().apply(variables, features)
    return found.mean(axis=0)


def score_group(scorers: Scorers, group: Sequence[DescribedImage]) -> list[np.ndarray]:
    """Precision and IoU of the proposals of each image of a group; [P, 2]."""
    features = group_features(group)
    first = scores(scorers.first, features)
    return scores(scorers.second, agreement_features(group, features, first))


def save_scorers(path: Path, scorers: Scorers) -> None:
    """Writes both scorers as one .npz file."""
    arrays: Any = flatten_dict(jax.tree.map(np.asarray, scorers._asdict()), sep="/")
    np.savez(path, **arrays)


def load_scorers(path: Path) -> Scorers:
    """Reads what `save_scorers` wrote.

    Raises MissingFileError for a missing file, UserError for one that is not whole or of another
    kind, NotFiniteError for one with a value that is NaN or infinite.
    """
    if not path.is_file():
        raise MissingFileError(
            f"the open mode needs {path}; fit it with python -m cosseg_jax.train.proposal_scorer"
        )
    found = read_npz(path)
    check_fit(str(path), "the scorers of the open mode", found, flatten_dict(_shapes(), sep="/"))
    check_finite(str(path), found)
    scorers = Scorers(**unflatten_dict(found, sep="/"))
    if any((each["statistics"]["deviation"] <= 0).any() for each in scorers):
        raise UserError(f"{path} is damaged: it has a deviation that is not above 0; fit it again")
    return scorers


def _shapes() -> dict[str, Any]:
    sizes = {"first": NUM_GROUP_FEATURES, "second": NUM_FEATURES}
    return {
        name: jax.eval_shape(ProposalScorer().init, jax.random.key(0), jnp.zeros((1, size)))
        for name, size in sizes.items()
    }
