"""Encoding, aggregation and segmentation in chunks, within a budget of bytes."""

import jax
import numpy as np
import pytest
from toy_networks import toy_network

from cosseg_jax.data.prompts import Marked
from cosseg_jax.predict import programs
from cosseg_jax.predict.binary_masks import binary_mask
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.prompting import PromptedImage

SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trained():
    """A network of two iterations with its variables."""
    with toy_network(IMAGES, num_iterations=2) as trained:
        yield trained


@pytest.fixture(scope="module")
def expected(trained):
    """The prediction for the whole group in one call."""
    network, variables = trained
    return programs.predict_group(network, variables, IMAGES, mirror=False)


class Group:
    """Images that count how often they are loaded, which is how often they are encoded."""

    def __init__(self, inputs):
        self.loaded = [0] * len(inputs)
        self.images = [EncodedImage(self._loader(n, each)) for n, each in enumerate(inputs)]

    def _loader(self, place, value):
        def load():
            self.loaded[place] += 1
            return value

        return load


def square(start, stop, excluded=False) -> Marked:
    """Marks a square of an image."""
    pixels, nothing = np.zeros((2, SIZE, SIZE), bool)
    pixels[start:stop, start:stop] = True
    return Marked(nothing, pixels, nothing) if excluded else Marked(pixels, nothing, pixels)


def assert_same(found, expected):
    for one, other in zip(found[:4], expected[:4], strict=True):  # the arrays
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7, 9])
def test_chunks_predict_what_the_whole_group_does(trained, expected, chunk_size):
    network = ChunkedNetwork(*trained, SIZE, chunk_size=chunk_size)
    assert_same(network.segment(Group(IMAGES).images), expected)


@pytest.mark.slow
def test_the_same_images_give_the_same_bits(trained):
    """Whether encodings are kept or not, and in a network that was made anew."""
    kept, group = ChunkedNetwork(*trained, SIZE), Group(IMAGES)
    first = kept.segment(group.images)
    for again in (
        kept.segment(group.images),
        ChunkedNetwork(*trained, SIZE).segment(Group(IMAGES).images),
        ChunkedNetwork(*trained, SIZE, encoding_bytes=0).segment(Group(IMAGES).images),
    ):
        jax.tree.map(np.testing.assert_array_equal, again, first)


@pytest.mark.slow
def test_encodings_are_kept_for_further_prompts(trained, expected):
    network, group = ChunkedNetwork(*trained, SIZE), Group(IMAGES)
    network.encode(group.images)
    assert group.loaded == [1] * 7
    prompted = network.segment(group.images, [PromptedImage(6, square(0, 32))])
    assert np.abs(prompted.probability_maps - expected.probability_maps).max() > 1e-3
    assert_same(network.segment(group.images), expected)
    assert group.loaded == [1] * 7


@pytest.mark.slow
def test_without_room_images_are_encoded_once_per_step(trained, expected):
    network, group = ChunkedNetwork(*trained, SIZE, encoding_bytes=0), Group(IMAGES)
    assert_same(network.segment(group.images), expected)
    assert group.loaded == [network.steps] * 7


def encoding_bytes(trained) -> int:
    network, group = ChunkedNetwork(*trained, SIZE), Group(IMAGES[:1])
    network.encode(group.images)
    return sum(leaf.nbytes for leaf in jax.tree.leaves(group.images[0].arrays))


@pytest.mark.slow
def test_a_part_of_a_large_group_is_kept(trained, expected):
    """Memory is bounded, and one image more than fits does not bring all of them back."""
    room = 3 * encoding_bytes(trained)
    network, group = ChunkedNetwork(*trained, SIZE, encoding_bytes=room), Group(IMAGES)
    assert_same(network.segment(group.images), expected)
    assert sum(image.arrays is not None for image in group.images) == 3
    assert sorted(group.loaded) == [1] * 3 + [network.steps] * 4


@pytest.mark.slow
def test_encodings_of_other_groups_make_room_the_longest_unused_first(trained):
    room = 4 * encoding_bytes(trained)
    network = ChunkedNetwork(*trained, SIZE, encoding_bytes=room)
    first, second, third = Group(IMAGES[:2]), Group(IMAGES[2:4]), Group(IMAGES[4:6])
    network.encode(first.images)
    network.encode(second.images)
    network.segment(first.images)
    network.encode(third.images)
    kept = [group.images[0].arrays is not None for group in (first, second, third)]
    assert kept == [True, False, True]


def test_encodings_are_freed_with_their_images(trained):
    room = 2 * encoding_bytes(trained)
    network = ChunkedNetwork(*trained, SIZE, encoding_bytes=room)
    network.encode(Group(IMAGES[:2]).images)
    group = Group(IMAGES[2:4])
    network.encode(group.images)
    assert all(image.arrays is not None for image in group.images)


@pytest.mark.slow
def test_only_the_wanted_images_are_segmented(trained, expected):
    network = ChunkedNetwork(*trained, SIZE, chunk_size=3)
    found = network.segment(Group(IMAGES).images, wanted=(5, 1))
    for one, other in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(one, np.asarray(other)[[5, 1]], atol=1e-5)


@pytest.mark.slow
def test_feature_maps_stand_in_for_images(trained, expected):
    network, variables = trained
    maps = network.apply(variables, IMAGES, train=False, method="encode")
    inputs = [jax.tree.map(lambda x, n=n: np.asarray(x[n]), maps) for n in range(7)]
    assert_same(ChunkedNetwork(*trained, SIZE).segment(Group(inputs).images), expected)


@pytest.mark.slow
def test_mirrored_images_are_averaged(trained, expected):
    network, variables = trained
    flipped = programs.predict_group(network, variables, IMAGES[:, :, ::-1], mirror=False)
    mean = (expected.probability_maps + flipped.probability_maps[..., ::-1]) / 2
    found = ChunkedNetwork(*trained, SIZE, mirror=True).segment(Group(IMAGES).images)
    np.testing.assert_allclose(found.probability_maps, mean, atol=1e-5)
    exported = programs.predict_group(network, variables, IMAGES, mirror=True)
    np.testing.assert_allclose(exported.probability_maps, mean, atol=1e-5)


def test_every_image_is_reported_once_per_step(trained):
    network, reports = ChunkedNetwork(*trained, SIZE), []
    network.segment(Group(IMAGES).images, report=reports.append)
    assert sum(reports) == 7 * network.steps == 7 * 3


def test_other_variables_use_the_same_programs(trained):
    _, variables = trained
    first = ChunkedNetwork(*trained, SIZE)
    zeros = jax.tree.map(np.zeros_like, variables)
    found = first.with_variables(zeros).segment(Group(IMAGES).images)
    np.testing.assert_allclose(found.probability_maps, 0.5)


def test_presence_is_the_mean_of_the_most_probable_hundredth():
    maps = np.zeros((1, 20, 20), np.float32)
    maps[0, 3, :4] = (0.2, 0.4, 0.6, 0.8)
    assert programs.presence_of(maps)[0] == pytest.approx(0.5)
    assert programs.presence_of(np.full((1, 2, 2), 0.3, np.float32))[0] == pytest.approx(0.3)


def test_a_mask_is_empty_where_the_object_is_not_present():
    probability = np.array([[0.2, 0.6]], np.float32)
    assert binary_mask(probability, 0.9).tolist() == [[False, True]]
    assert binary_mask(probability, 0.5).tolist() == [[False, False]]
    assert binary_mask(probability, 0.5, 0.1).tolist() == [[True, True]]
