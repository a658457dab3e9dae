"""Masks that reach to all cells which resemble what they cover."""

import jax.numpy as jnp
import numpy as np

from cosseg_jax.models.likeness import OFFSET, ROUNDS, WEIGHT, with_likeness

OBJECT, REST = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.2])


def drawn_group() -> tuple[np.ndarray, np.ndarray]:
    """Two images of 4 x 4 cells: where the object is, [1, 2, 4, 4], and their descriptors."""
    where = np.zeros((1, 2, 4, 4), bool)
    where[0, 0, :2], where[0, 1, 1:, 2:] = True, True
    noise = np.random.default_rng(0).normal(0, 0.05, (1, 2, 4, 4, 3))
    return where, np.where(where[..., None], OBJECT, REST) + noise


def marked(where: np.ndarray, *cells: tuple[int, int, int]) -> np.ndarray:
    """Logits that mark these cells alone."""
    logits = np.full(where.shape, -2.0)
    for cell in cells:
        logits[(0, *cell)] = 2.0
    return logits


def likened(logits, descriptors, shown=None) -> np.ndarray:
    shown = np.zeros(np.shape(logits)) if shown is None else shown
    return np.asarray(with_likeness(jnp.asarray(logits), descriptors, shown))


def test_one_marked_cell_finds_the_object_in_both_images():
    where, descriptors = drawn_group()
    found = likened(marked(where, (0, 0, 0)), descriptors)
    np.testing.assert_array_equal(found > 0, where)


def test_nothing_marked_changes_nothing():
    where, descriptors = drawn_group()
    logits = marked(where).astype(np.float32)
    np.testing.assert_array_equal(likened(logits, descriptors), logits)


def test_what_a_prompt_shows_counts_before_what_is_marked():
    where, descriptors = drawn_group()
    rest = marked(where, (0, 3, 0), (0, 3, 1))  # beside the object
    np.testing.assert_array_equal(likened(rest, descriptors) > 0, ~where)
    found = likened(rest, descriptors, 1.0 * (marked(where, (0, 0, 0)) > 0))
    np.testing.assert_array_equal(found[0, 1] > 0, where[0, 1])


def test_groups_do_not_see_each_other():
    where, descriptors = drawn_group()
    logits = np.concatenate([marked(where, (0, 0, 0)), marked(where)])
    found = likened(logits, np.concatenate([descriptors, descriptors]))
    alone = likened(logits[:1], descriptors)
    np.testing.assert_allclose(found[:1], alone, atol=1e-4)
    np.testing.assert_array_equal(found[1:], logits[1:])


def test_it_agrees_with_a_slow_computation():
    rng = np.random.default_rng(1)
    logits, x = rng.normal(0, 2, (1, 3, 4, 5)), rng.normal(0, 1, (1, 3, 4, 5, 6))
    unit = (centred := x[0] - x[0].mean((0, 1, 2))) / np.linalg.norm(centred, axis=-1)[..., None]
    expected = logits[0]
    for _ in range(ROUNDS):
        prototype = np.zeros(6)
        for image, probability in zip(unit, 1 / (1 + np.exp(-expected)), strict=True):
            cells = probability > 0.5
            if cells.any():
                prototype += np.average(image[cells], axis=0, weights=probability[cells])
        cosine = unit @ (prototype / np.linalg.norm(prototype))
        expected = logits[0] + WEIGHT * cosine + OFFSET
    found = likened(logits, x)
    np.testing.assert_allclose(found[0], expected, atol=1e-3)
