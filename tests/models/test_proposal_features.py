"""What a group says of object proposals."""

import numpy as np
import pytest

from cosseg_jax.models.proposal_features import (
    MOST_OTHERS,
    NUM_FEATURES,
    NUM_GROUP_FEATURES,
    SIDE,
    Proposals,
    _averaging,
    agreement_features,
    described_group,
    group_features,
)

ALIKE = 7 + 5  # column of the mean likeness to the other images' proposals


def square(left: int, top: int, side: int = 40) -> np.ndarray:
    maps = np.zeros((SIDE, SIDE), np.uint8)
    maps[top : top + side, left : left + side] = 255
    return maps


def drawn_group(count: int, seed: int = 0):
    """Images with an object of common descriptors at one square, and another thing at the other.

    The first proposal is the object.
    """
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=32)
    coarse = rng.normal(size=(count, 8, 8, 32)) * 0.3
    fine = rng.normal(size=(count, 16, 16, 16)) * 0.3
    coarse[:, 1:4, 1:4] += shared
    fine[:, 2:7, 2:7] += shared[:16]
    for number in range(count):
        coarse[number, 4:7, 4:7] += rng.normal(size=32)
    maps = np.stack([square(16, 16), square(68, 68)])
    proposals = Proposals(maps, np.asarray([0.9, 0.9]), np.asarray([0.9, 0.9]))
    return [proposals] * count, coarse, fine


def test_what_the_group_shares_is_more_alike():
    group = described_group(*drawn_group(4))
    for features in group_features(group):
        assert features.shape == (2, NUM_GROUP_FEATURES)
        assert features[0, ALIKE] > features[1, ALIKE] + 0.5


def test_agreement_tells_the_object_from_the_rest():
    group = described_group(*drawn_group(4))
    features = group_features(group)
    even = [np.full((2, 2), 0.5, np.float32)] * 4
    found = agreement_features(group, features, [e * [[1.5], [0.5]] for e in even])
    for each in found:
        assert each.shape == (2, NUM_FEATURES)
        assert each[0, NUM_GROUP_FEATURES] > each[1, NUM_GROUP_FEATURES] + 0.5


def test_features_follow_the_order_of_the_images():
    proposals, coarse, fine = drawn_group(5)
    order = [3, 0, 4, 1, 2]
    forth = group_features(described_group(proposals, coarse, fine))
    back = group_features(described_group(proposals, coarse[order], fine[order]))
    for place, number in enumerate(order):
        np.testing.assert_allclose(back[place], forth[number], atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, MOST_OTHERS + 6])
def test_any_number_of_images(count):
    group = described_group(*drawn_group(count))
    for features in group_features(group):
        assert np.isfinite(features).all()


def test_an_image_without_proposals():
    proposals, coarse, fine = drawn_group(3)
    nothing = Proposals(np.zeros((0, SIDE, SIDE), np.uint8), np.zeros(0), np.zeros(0))
    group = described_group([proposals[0], nothing, proposals[2]], coarse, fine)
    features = group_features(group)
    assert [each.shape for each in features] == [(n, NUM_GROUP_FEATURES) for n in (2, 0, 2)]
    scored = [np.full((len(each), 2), 0.5, np.float32) for each in features]
    found = agreement_features(group, features, scored)
    assert [each.shape for each in found] == [(n, NUM_FEATURES) for n in (2, 0, 2)]
    assert all(np.isfinite(each).all() for each in found)


@pytest.mark.parametrize("cells", [7, 12, 24, SIDE])
def test_cells_are_means_of_samples(cells):
    rows = np.random.default_rng(0).uniform(size=SIDE)
    fine = np.repeat(rows, cells)  # each sample as `cells` parts, each cell as SIDE parts
    np.testing.assert_allclose(
        _averaging(cells) @ rows, fine.reshape(cells, SIDE).mean(axis=1), atol=1e-5
    )
