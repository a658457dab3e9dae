"""The scorers of object proposals and their file."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosseg_jax.errors import MissingFileError, NotFiniteError, UserError
from cosseg_jax.models.proposal_features import NUM_FEATURES, NUM_GROUP_FEATURES
from cosseg_jax.models.proposal_scorer import (
    ProposalScorer,
    Scorers,
    load_scorers,
    save_scorers,
    scores,
)


@pytest.fixture(scope="module")
def scorers():
    key = jax.random.key(0)
    sizes = NUM_GROUP_FEATURES, NUM_FEATURES
    return Scorers(*(ProposalScorer().init(key, jnp.zeros((1, size))) for size in sizes))


def test_scores_are_the_mean_of_the_members(scorers):
    x = np.random.default_rng(0).normal(size=(300, NUM_GROUP_FEATURES)).astype(np.float32)
    [found, nothing, rest] = scores(scorers.first, [x[:10], x[:0], x[10:]])
    members = ProposalScorer().apply(scorers.first, x)
    np.testing.assert_allclose(np.concatenate([found, rest]), members.mean(axis=0), atol=1e-6)
    assert nothing.shape == (0, 2)
    assert 0 < found.min() < found.max() < 1


def test_extreme_features_are_clipped(scorers):
    x = np.zeros((2, NUM_GROUP_FEATURES), np.float32)
    x[0], x[1] = 1e6, 1e9
    [found] = scores(scorers.first, [x])
    np.testing.assert_array_equal(found[0], found[1])


def test_a_file_of_scorers(scorers, tmp_path):
    save_scorers(tmp_path / "scorers.npz", scorers)
    found = load_scorers(tmp_path / "scorers.npz")
    jax.tree.map(np.testing.assert_array_equal, found, scorers)


def test_a_missing_file_says_how_to_make_it(tmp_path):
    with pytest.raises(MissingFileError, match=r"scorers\.npz.*cosseg_jax\.train"):
        load_scorers(tmp_path / "scorers.npz")


def test_a_file_of_something_else(tmp_path):
    np.savez(tmp_path / "scorers.npz", kernel=np.zeros(3))
    with pytest.raises(UserError, match=r"scorers\.npz does not fit(.|\n)*kernel"):
        load_scorers(tmp_path / "scorers.npz")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.nan, NotFiniteError, "NaN or infinite, in second/statistics/deviation"),
        (0.0, UserError, "deviation that is not above 0"),
    ],
)
def test_numbers_that_would_make_scores_of_nan(scorers, tmp_path, value, error, message):
    statistics = scorers.second["statistics"]
    deviation = np.asarray(statistics["deviation"]).copy()
    deviation[3] = value
    second = scorers.second | {"statistics": statistics | {"deviation": deviation}}
    save_scorers(tmp_path / "scorers.npz", scorers._replace(second=second))
    with pytest.raises(error, match=rf"scorers\.npz.*{message}"):
        load_scorers(tmp_path / "scorers.npz")
