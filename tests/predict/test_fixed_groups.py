"""Groups of any size through a network that knows groups of one size."""

import numpy as np
import pytest

from cosseg_jax.data.prompts import Prompt, marked
from cosseg_jax.errors import UserError
from cosseg_jax.export.group_function import group_function
from cosseg_jax.models.released.network import released_config
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.fixed_groups import FixedGroups, Part, parts_of
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import GroupPrediction


class Counting(ChunkedNetwork):
    """Predicts of each image its own number, and the group's numbers as class probabilities."""

    def __init__(self):
        self.groups, self.mirror, self.num_iterations = [], False, 2

    def segment(self, group, *_, **__):
        numbers = np.asarray([each.load()[0, 0, 0] for each in group])
        self.groups.append(numbers.tolist())
        maps = np.tile(numbers[:, None, None].astype(np.float32), (1, 8, 8))
        counts = np.bincount(numbers, minlength=12).astype(np.float32)
        return GroupPrediction(maps, maps[:, :2, :2], maps[:, 0, 0], counts)


def images(*numbers: int) -> list[EncodedImage]:
    return [EncodedImage(lambda n=n: np.full((8, 8, 3), n, np.uint8)) for n in numbers]


def test_parts_are_consecutive_and_completed_by_the_first_images():
    assert parts_of(7, 5) == [Part([0, 1, 2, 3, 4], 5), Part([5, 6, 0, 1, 2], 2)]
    assert parts_of(5, 5) == [Part([0, 1, 2, 3, 4], 5)]
    assert parts_of(2, 5) == [Part([0, 1, 0, 1, 0], 2)]
    assert parts_of(1, 5) == [Part([0, 0, 0, 0, 0], 1)]


def test_every_image_is_predicted_in_its_own_part():
    inner, reported = Counting(), []
    network = FixedGroups(inner, 5)
    found = network.segment(images(10, 11, 2, 3, 4, 5, 6), report=reported.append)
    assert inner.groups == [[10, 11, 2, 3, 4], [5, 6, 10, 11, 2]]
    assert list(found.presence) == [10, 11, 2, 3, 4, 5, 6]
    assert np.asarray(found.probability_maps)[:, 0, 0].tolist() == [10, 11, 2, 3, 4, 5, 6]
    assert list(np.asarray(found.class_probabilities)[[2, 3, 6]]) == [1, 0.5, 0.5]
    assert sum(reported) == 7 * network.steps


def test_parts_without_a_wanted_image_are_left_out():
    inner = Counting()
    network = FixedGroups(inner, 5)
    found = network.segment(images(*range(7)), wanted=[6])
    assert inner.groups == [[5, 6, 0, 1, 2]]
    assert list(found.presence) == [6]


def test_prompts_and_concepts_are_refused():
    network, group = FixedGroups(Counting(), 5), images(1)
    shown = marked([Prompt(0, points=((1, 1),), labels=(1,))], 8, 8)
    with pytest.raises(UserError, match=r"takes no prompts: .*groups of 5 images only"):
        network.segment(group, [PromptedImage(0, shown)])
    with pytest.raises(UserError, match="takes no concepts"):
        network.learn(group, [np.ones((8, 8), bool)])
    with pytest.raises(UserError, match="takes no concepts"):
        network.apply(group, None)


def test_it_is_exported_for_groups_of_its_size_only():
    for size in (None, 4):
        with pytest.raises(UserError, match="takes groups of 5 only"):
            group_function(released_config(), {}, size)
    assert group_function(released_config(), {}, 5)
