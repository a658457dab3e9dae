"""Fitting the scorers of object proposals."""

import numpy as np
import pytest

from cosseg_jax.models.proposal_features import SIDE, Proposals, described_group, group_features
from cosseg_jax.models.proposal_scorer import score_group
from cosseg_jax.train import proposal_scorer
from cosseg_jax.train.proposal_scorer import Group, Material, Truth, _targets, fit, mean_J

SQUARES = [(4, 4), (84, 4), (4, 84), (84, 84)]  # places of the proposals


class Drawn(Material):
    """Images with four squares, one of which is of the category; each category has a descriptor.

    Everything else differs from image to image.
    """

    def __init__(self, images: int, categories: int):
        self._rng = np.random.default_rng(0)
        self._kinds = self._rng.normal(size=(categories, 32))
        self.truths, self._drawn = {}, {}
        for index in range(images):
            category, place = index % categories, int(self._rng.integers(4))
            maps = np.zeros((4, SIDE, SIDE), np.uint8)
            for each, (row, column) in zip(maps, SQUARES, strict=True):
                each[row : row + 40, column : column + 40] = 255
            nothing = np.zeros((SIDE, SIDE), bool)
            self.truths[index] = Truth({category: maps[place] > 0}, nothing)
            self._drawn[index] = maps, category, place

    def group(self, category, images):
        coarse = self._rng.normal(size=(len(images), 8, 8, 32)) * 0.1
        proposals = []
        for number, index in enumerate(images):
            maps, kind, place = self._drawn[index]
            for other, (row, column) in enumerate(SQUARES):
                what = self._kinds[kind] if other == place else self._rng.normal(size=32)
                coarse[number, row // 16 : row // 16 + 3, column // 16 : column // 16 + 3] += what
            proposals.append(Proposals(maps, np.full(4, 0.9), np.full(4, 0.9)))
        fine = coarse.repeat(2, axis=1).repeat(2, axis=2)
        described = described_group(proposals, coarse, fine)
        targets = [
            _targets(image, self.truths[index], category)
            for image, index in zip(described, images, strict=True)
        ]
        return Group(category, list(images), described, group_features(described), targets)


@pytest.fixture(scope="module")
def material():
    return Drawn(48, 6)


@pytest.mark.slow
def test_scorers_rank_categories_that_they_have_not_seen(material):
    scorers = fit(material.drawn([0, 1, 2, 3], 40, seed=0), epochs=40)
    groups = [material.group(category, range(category, 48, 6)) for category in (4, 5)]
    for group in groups:
        for scored, targets in zip(
            score_group(scorers, group.described), group.targets, strict=True
        ):
            assert np.argmax(scored[:, 0]) == np.argmax(targets[:, 0])
    assert mean_J(groups, scorers, material) > 90


def test_groups_show_no_category_that_is_left_out(material):
    for group in material.drawn([0, 1], 20, seed=1):
        shown = {c for index in group.images for c in material.truths[index].masks}
        assert shown <= {0, 1}
        assert group.category in shown


def test_an_image_without_the_object_has_no_target(material):
    group = material.group(0, [0, 1])
    assert group.targets[0].max() == 1
    assert group.targets[1].max() == 0


def test_void_pixels_count_for_nothing(material):
    [image] = material.group(0, [0]).described
    truth = material.truths[0]
    void = np.zeros((SIDE, SIDE), bool)
    void[:, :64] = True
    found = _targets(image, truth._replace(void=void), 0)
    left = [row for row, (_, column) in enumerate(SQUARES) if column < 64]
    assert found[left].max() == 0


def test_the_command_needs_something_to_do(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["proposal_scorer"])
    with pytest.raises(SystemExit):
        proposal_scorer.main()
    assert "--out" in capsys.readouterr().err
