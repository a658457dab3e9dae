"""Telling groups of categories that the network was trained on from groups of others."""

import numpy as np
import pytest

from cosseg_jax.errors import NotFiniteError, UserError
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import (
    KNOWN,
    MOST_IMAGES,
    Familiarity,
    confidence_of,
    group_presence,
    known_probability,
    marked_descriptors,
)

CHANNELS, SIZE, CELLS = 6, 16, 4
FAMILIAR = Familiarity(np.full(CHANNELS, 0.5, np.float32), np.eye(CHANNELS, dtype=np.float32)[:2])


class Maps(ChunkedNetwork):
    """A network whose images show one direction on their left half and another on the right."""

    def __init__(self, left: int, right: int):
        self.asked = 0
        self.coarse = np.full((CELLS, CELLS, CHANNELS), 0.5, np.float16)
        self.coarse[:, :2, left] += 1
        self.coarse[:, 2:, right] += 1

    def coarse_maps(self, group) -> np.ndarray:
        self.asked = len(group)
        return np.stack([self.coarse] * len(group))


def known(maps: Maps, masks, presence) -> float:
    group = [EncodedImage(lambda: None) for _ in presence]
    return FAMILIAR.of(maps, group, masks, np.asarray(presence, np.float32))


def left_masks(count: int) -> np.ndarray:
    masks = np.zeros((count, SIZE, SIZE), np.float32)
    masks[:, :, : SIZE // 2] = 0.9
    return masks


@pytest.mark.parametrize(("left", "right", "expected"), [(0, 5, True), (5, 0, False)])
def test_what_the_masks_cover_decides(left, right, expected):
    assert (known(Maps(left, right), left_masks(3), [0.99] * 3) >= KNOWN) == expected


def test_images_that_the_network_leaves_empty_do_not_count():
    maps = Maps(0, 5)
    alone = known(maps, left_masks(2), [0.99, 0.99])
    masks = np.concatenate([left_masks(2), left_masks(1)[:, :, ::-1]])
    with_stranger = known(maps, masks, [0.99, 0.99, 0.2])
    assert maps.asked == 2
    assert with_stranger == pytest.approx(alone, abs=0.05)


def test_nothing_marked_is_not_known():
    assert known(Maps(0, 5), left_masks(2), [0.4, 0.3]) == 0
    assert known(Maps(0, 5), np.zeros((2, SIZE, SIZE), np.float32), [0.9, 0.9]) == 0


def test_of_a_large_group_some_images_are_looked_at():
    maps, count = Maps(0, 5), MOST_IMAGES + 7
    assert known(maps, left_masks(count), [0.99] * count) >= KNOWN
    assert maps.asked == MOST_IMAGES


def test_descriptors_are_those_under_the_masks():
    coarse = Maps(0, 5).coarse[None]
    np.testing.assert_allclose(
        marked_descriptors(coarse, left_masks(1))[0], [1.5, *[0.5] * 5], atol=0.1
    )
    assert marked_descriptors(coarse, np.zeros((1, SIZE, SIZE), np.float32)).shape == (0, CHANNELS)


def test_the_probability_grows_with_likeness_and_presence():
    likeness = [known_probability(cosine, np.full(5, 0.98)) for cosine in (0.4, 0.7, 0.9)]
    assert likeness == sorted(likeness)
    assert likeness[0] < 0.1
    assert likeness[2] > 0.85
    presence = [known_probability(0.75, np.full(5, p, np.float32)) for p in (0.0, 0.6, 1.0)]
    assert presence == sorted(presence)
    assert np.isfinite(presence).all()


def test_the_group_presence_overlooks_few_strangers():
    assert group_presence(np.asarray([0.99] * 5 + [0.1, 0.2])) == pytest.approx(0.99)
    assert group_presence(np.asarray([0.9, 0.8, 0.7, 0.2, 0.1])) < 0.7
    assert group_presence(np.asarray([0.6])) == pytest.approx(0.6)


def test_the_confidence_is_between_what_was_measured():
    confidence = [confidence_of(p) for p in (0.0, 0.3, 0.6, 0.8, 0.95, 1.0)]
    assert confidence == sorted(confidence)
    assert 0.3 < confidence[0] < 0.4
    assert 0.9 < confidence[-1] < 0.95


def test_it_is_saved_and_read_again(tmp_path):
    FAMILIAR.save(tmp_path / "known.npz")
    found = Familiarity.load(tmp_path / "known.npz", CHANNELS)
    for one, other in zip(found, FAMILIAR, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    FAMILIAR._replace(named=False).save(tmp_path / "known.npz")
    assert not Familiarity.load(tmp_path / "known.npz", CHANNELS).named


def test_a_file_that_does_not_say_so_has_the_names(tmp_path):
    vectors = {name: getattr(FAMILIAR, name) for name in ("mean", "prototypes")}
    np.savez(tmp_path / "known.npz", **vectors)
    assert Familiarity.load(tmp_path / "known.npz", CHANNELS).named


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"mean": np.zeros(CHANNELS + 1)}, UserError, "expected mean"),
        ({"prototypes": np.zeros((0, CHANNELS))}, UserError, "expected mean"),
        ({"prototypes": np.zeros(())}, UserError, "expected mean"),
        ({"more": np.zeros(1)}, UserError, "train.known_categories"),
        ({"named": np.zeros(2)}, UserError, "train.known_categories"),
        ({"named": np.full((), np.nan)}, UserError, "train.known_categories"),
        ({"mean": np.full(CHANNELS, np.nan)}, NotFiniteError, "NaN or infinite"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, changed, error, message):
    path = tmp_path / "known.npz"
    np.savez(path, allow_pickle=False, **(FAMILIAR._asdict() | {"named": 1.0} | changed))
    with pytest.raises(error, match=rf"known\.npz(.|\n)*{message}"):
        Familiarity.load(path, CHANNELS)
