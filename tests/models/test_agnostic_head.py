"""The head for categories that no training has shown."""

import io
import pickle
import zipfile

import jax
import numpy as np
import pytest

from cosseg_jax.errors import NotFiniteError, UserError
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


@pytest.mark.slow
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


def saved(path, changed=lambda arrays: arrays) -> None:
    """Writes a file of ones, some of which are changed."""
    shapes = jax.eval_shape(AgnosticHead().init, jax.random.key(0), COARSE, FINE)
    save_agnostic_head(path, jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes))
    with np.load(path) as found:
        arrays = dict(found)
    np.savez(path, allow_pickle=True, **changed(arrays))


BIAS = "params/predict/bias"
LARGE = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (50000000,), }"


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (lambda x: x | {BIAS: np.full(1, np.nan, np.float16)}, NotFiniteError, BIAS),
        (lambda x: x | {BIAS: np.full(1, np.inf)}, NotFiniteError, BIAS),
        (lambda x: x | {BIAS: np.zeros(2)}, UserError, r"\(2,\) in the file, \(1,\) in the model"),
        (lambda x: x | {BIAS: np.array([{}], object)}, UserError, "cannot be read as a .npz"),
        (lambda x: x | {BIAS: np.ones(1, "<U3")}, UserError, "is of type <U3; weights are numbers"),
        (lambda x: x | {BIAS: np.ones(1, np.complex64)}, UserError, "weights are numbers"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, changed, error, message):
    saved(tmp_path / "head.npz", changed)
    with pytest.raises(error, match=rf"head\.npz(.|\n)*{message}"):
        load_agnostic_head(tmp_path / "head.npz", COARSE.shape[-1], FINE.shape[-1])


def bomb() -> bytes:
    """200 MB of zeros in 200 kB."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{BIAS}.npy", LARGE.ljust(128) + bytes(200_000_000))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[: len(whole) // 2], "cannot be read"),
        (lambda whole: b"", "cannot be read"),
        (lambda whole: pickle.dumps({BIAS: 1}), "cannot be read"),
        (lambda whole: bomb(), "unpacks from [0-9]+ bytes to 200000128, as no weights do"),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
    ids=["cut", "empty", "pickle", "bomb", "pointer"],
)
def test_what_is_no_such_file_is_named(tmp_path, content, message):
    path = tmp_path / "head.npz"
    saved(path)
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(UserError, match=rf"head\.npz.*{message}"):
        load_agnostic_head(path, COARSE.shape[-1], FINE.shape[-1])
