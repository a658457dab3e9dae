"""The head for categories that no training has shown."""

import jax
import numpy as np
import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.models.agnostic_head import (
    AgnosticHead,
    Marks,
    load_agnostic_head,
    save_agnostic_head,
)

RNG = np.random.default_rng(0)
COARSE = RNG.normal(size=(2, 3, 4, 4, 12)).astype(np.float32)
FINE = RNG.normal(size=(2, 3, 8, 8, 6)).astype(np.float32)
HEAD = AgnosticHead(features=8, reduced=10)


@pytest.fixture(scope="module")
def variables():
    return HEAD.init(jax.random.key(0), COARSE, FINE)


def marks(**cells) -> Marks:
    """Marks of the first image of the first group: one cell of each kind, by row and column."""
    found = Marks(*(np.zeros(COARSE.shape[:4], np.float32) for _ in range(2)))
    for kind, cell in cells.items():
        getattr(found, kind)[0, 0][cell] = 1
    return found


def masks(variables, given: Marks | None = None, coarse=COARSE, fine=FINE) -> np.ndarray:
    return np.asarray(HEAD.apply(variables, coarse, fine, given)[-1])  # type: ignore[index]


def test_logits_of_every_iteration(variables):
    found = HEAD.apply(variables, COARSE, FINE)
    assert [each.shape for each in found] == [(2, 3, 8, 8)] * 2  # type: ignore[union-attr]
    assert np.abs(found[1] - found[0]).max() > 1e-3  # type: ignore[index]


def test_the_order_of_the_images_does_not_matter(variables):
    order = [2, 0, 1]
    shuffled = masks(variables, None, COARSE[:, order], FINE[:, order])
    np.testing.assert_allclose(shuffled, masks(variables)[:, order], atol=2e-4)


def test_the_other_images_matter_within_a_group_only(variables):
    changed = COARSE.copy()
    changed[0, 2] = RNG.normal(size=changed[0, 2].shape)
    difference = np.abs(masks(variables, None, changed) - masks(variables)).max(axis=(2, 3))
    assert difference[0, 0] > 1e-3
    assert difference[1].max() < 1e-5


def test_a_prompt_changes_every_image_of_its_group(variables):
    difference = np.abs(masks(variables, marks(shown=(1, 2))) - masks(variables)).max(axis=(2, 3))
    assert (difference[0] > 1e-3).all()
    assert difference[1].max() < 1e-5


def test_shown_and_excluded_cells_differ(variables):
    shown, excluded = marks(shown=(1, 2)), marks(excluded=(1, 2))
    difference = np.abs(masks(variables, shown) - masks(variables, excluded)).max(axis=(2, 3))
    assert (difference[0] > 1e-3).all()


def test_no_marks_are_empty_marks(variables):
    np.testing.assert_array_equal(masks(variables, marks()), masks(variables))


def test_a_saved_head_is_read_again(tmp_path):
    head, path = AgnosticHead(), tmp_path / "head.npz"
    variables = head.init(jax.random.key(1), COARSE, FINE)
    save_agnostic_head(path, variables)
    again = load_agnostic_head(path, COARSE.shape[-1], FINE.shape[-1])
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4), variables, again
    )
    with pytest.raises(UserError, match=r"head\.npz.*does not fit"):
        load_agnostic_head(path, COARSE.shape[-1] + 1, FINE.shape[-1])
