"""Training the head for unseen categories, on maps made up for it and on small images."""

import jax
import numpy as np
import pytest
from fake_source import FakeSource

from cosseg_jax.data.composites import VOID, LabelledPicture
from cosseg_jax.errors import UserError
from cosseg_jax.models.agnostic_head import AgnosticHead
from cosseg_jax.predict.chunked import ChunkedNetwork, UnmodulatedMaps
from cosseg_jax.train import agnostic_pool
from cosseg_jax.train.agnostic_head import Groups, fit
from cosseg_jax.train.agnostic_pool import (
    SIDE,
    Pool,
    cache_folder,
    composite_pictures,
    encoded,
    known_pictures,
    object_pictures,
)

pytestmark = pytest.mark.slow

CELLS, CHANNELS, EACH = 6, 12, 8  # of a coarse map, and images of a category
KNOWN, CATEGORIES = 2, 5


def drawn_pool(categories, seed: int = 0) -> Pool:
    """A square object in every image: a category's direction, and one that all objects share."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((len(categories), SIDE, SIDE), np.int16)
    step = SIDE // CELLS
    for each, category in zip(labels, categories, strict=True):
        top, left = rng.integers(0, CELLS - 2, 2) * step
        each[top : top + 3 * step, left : left + 3 * step] = category
    cells = labels[:, ::step, ::step]
    directions = np.eye(CHANNELS)[: CATEGORIES + 3]
    coarse = rng.normal(scale=0.3, size=(*cells.shape, CHANNELS))
    coarse += 2 * directions[cells] * (cells > 0)[..., None]
    coarse[..., -1] += 3 * (cells > 0)
    coarse = coarse.astype(np.float16)
    return Pool(coarse, coarse.repeat(2, 1).repeat(2, 2), labels)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return drawn_pool([1 + n % CATEGORIES for n in range(CATEGORIES * EACH)])


def test_it_finds_a_category_that_it_has_not_seen(pool):
    variables = fit(pool, KNOWN, steps=30)
    new = drawn_pool([CATEGORIES + 2] * 3, seed=1)
    head = jax.jit(lambda *maps: AgnosticHead().apply(variables, *maps)[-1])  # type: ignore[index]
    found = np.asarray(head(new.coarse[None], new.fine[None]))[0] > 0
    wanted = new.labels[:, :: SIDE // 12, :: SIDE // 12] > 0
    iou = (found & wanted).sum() / (found | wanted).sum()
    assert iou > 0.6


def test_a_batch_depends_on_the_seed_and_the_step_alone(pool):
    first, again = (Groups(pool, KNOWN, seed=3).batch(7) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = Groups(pool, KNOWN, seed=4).batch(7)
    assert not np.array_equal(first.masks, other.masks)


def test_masks_maps_and_marks_of_a_batch_belong_together(pool):
    batch = Groups(pool, KNOWN, seed=0).batch(0)
    objects = batch.coarse[..., -1] > 1.5  # where some object is
    masks = batch.masks[..., :: SIDE // CELLS, :: SIDE // CELLS] > 0
    assert objects[masks].mean() > 0.99
    shown = batch.marks.shown
    assert not shown[:, 1:].any()  # the first image carries the prompt
    np.testing.assert_allclose(shown[:, 0].sum(axis=(1, 2)) % 1, 0, atol=1e-5)
    steps = [Groups(pool, KNOWN, seed=0).batch(step) for step in range(8)]
    assert any(batch.marks.shown.any() for batch in steps)
    assert any(batch.marks.excluded.any() for batch in steps)
    assert any((batch.masks.sum(axis=(2, 3)) == 0).any() for batch in steps)  # strangers


@pytest.mark.parametrize("known", [0, CATEGORIES])
def test_both_kinds_of_categories_are_needed(pool, known):
    with pytest.raises(UserError, match=r"known and .* other categories"):
        Groups(pool, known, seed=0)


def test_few_images_of_frequent_categories_are_taken(monkeypatch):
    monkeypatch.setattr(agnostic_pool, "MOST_PER_CATEGORY", 3)
    source = FakeSource([(0,)] * 9 + [(1,)] * 2, categories=2)
    assert len(list(known_pictures(source)())) == 5


class SquareSaliency:
    """Finds the left half of every image."""

    image_size = 32

    def __call__(self, image: np.ndarray) -> np.ndarray:
        found = np.zeros((32, 32), np.float32)
        found[:, :16] = 1
        return found


def test_photographs_get_pseudo_masks():
    source = FakeSource([(0,), (1,)], categories=2)
    found = list(object_pictures(source, SquareSaliency(), known=20)())
    assert [set(np.unique(each.labels)) - {VOID} for each in found] == [{0, 21}, {0, 22}]


class ToyMaps(ChunkedNetwork):
    """Its maps are the image, sampled."""

    def __init__(self):
        self.calls, self.chunk_size, self.image_size = 0, 2, 32

    def feature_maps(self, group):
        self.calls += 1
        images = np.stack([each.load() for each in group]).astype(np.float16)
        return UnmodulatedMaps(images[:, ::8, ::8], images[:, ::4, ::4], images[:, ::4, ::4])


def test_maps_are_computed_once(tmp_path):
    labels = np.ones((40, 40), np.int16)
    parts = [LabelledPicture(np.full((40, 40, 3), n, np.uint8), n * labels) for n in range(1, 6)]
    pictures = composite_pictures(parts, parts, count=5, size=32, seed=0)
    network = ToyMaps()
    first = encoded(pictures, network, tmp_path / "composites")
    assert first.labels.shape == (5, SIDE, SIDE)
    assert network.calls == 3
    again = encoded(pictures, network, tmp_path / "composites")
    assert network.calls == 3
    jax.tree.map(np.testing.assert_array_equal, first, again)


def test_maps_of_other_data_are_kept_apart(tmp_path):
    assert cache_folder(tmp_path, "known", "a", 1) == cache_folder(tmp_path, "known", "a", 1)
    assert cache_folder(tmp_path, "known", "a", 1) != cache_folder(tmp_path, "known", "a", 2)


def test_no_usable_photograph_is_told(tmp_path):
    with pytest.raises(UserError, match=r"objects: no image is fit"):
        encoded(lambda: iter(()), ToyMaps(), tmp_path / "objects")
