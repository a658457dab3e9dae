"""A network with a second head, for categories that no training has shown."""

import jax
import numpy as np
import pytest
from toy_networks import toy_network

from cosseg_jax.data.prompts import Marked
from cosseg_jax.errors import UserError
from cosseg_jax.models.agnostic_head import AgnosticHead, save_agnostic_head
from cosseg_jax.predict import agnostic, familiarity
from cosseg_jax.predict.agnostic import HEAD_FILE, AgnosticNetwork, agnostic_network
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import FAMILIARITY_FILE, Familiarity
from cosseg_jax.predict.programs import presence_of
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.types import FeatureMaps

SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain():
    with toy_network(IMAGES) as (network, variables):
        yield ChunkedNetwork(network, variables, SIZE)


@pytest.fixture(scope="module")
def folder(plain, tmp_path_factory):
    """An exported network's folder with a random head in it."""
    coarse, fine, _ = plain.feature_maps(group())
    variables = AgnosticHead().init(jax.random.key(0), coarse[None], fine[None])
    path = tmp_path_factory.mktemp("exported")
    save_agnostic_head(path / HEAD_FILE, variables)
    channels = coarse.shape[-1]
    prototypes = np.eye(2, channels, dtype=np.float32)
    Familiarity(np.zeros(channels, np.float32), prototypes).save(path / FAMILIARITY_FILE)
    return path


@pytest.fixture(scope="module")
def network(plain, folder) -> AgnosticNetwork:
    found = agnostic_network(plain, folder)
    assert isinstance(found, AgnosticNetwork)
    return found


def group() -> list[EncodedImage]:
    return [EncodedImage(lambda image=image: image) for image in IMAGES]


def prompted(row: slice, column: slice) -> PromptedImage:
    shown = np.zeros((SIZE, SIZE), bool)
    shown[row, column] = True
    return PromptedImage(1, Marked(shown, np.zeros_like(shown), shown))


def test_channels_of_the_feature_maps(plain):
    coarse, fine, _ = plain.feature_maps(group())
    assert plain.feature_channels == (coarse.shape[-1], fine.shape[-1])
    np.testing.assert_array_equal(plain.coarse_maps(group()), coarse)


def test_a_head_without_the_known_categories_is_refused(plain, folder, tmp_path):
    (tmp_path / HEAD_FILE).write_bytes((folder / HEAD_FILE).read_bytes())
    with pytest.raises(UserError, match=f"{FAMILIARITY_FILE} cannot be read"):
        agnostic_network(plain, tmp_path)


def test_a_folder_without_a_head(plain, tmp_path):
    assert agnostic_network(plain, tmp_path) is plain


@pytest.mark.slow
def test_the_second_head_is_believed_where_the_network_does_not_know(network, monkeypatch):
    found = with_presence(network, monkeypatch, 0.6)
    maps = network.segment(group()).probability_maps
    doubtful = agnostic.DOUBT * found.probability_maps
    np.testing.assert_array_equal(maps, network._maps(group(), (), doubtful))
    assert np.abs(maps - found.probability_maps).max() > 1e-3


def test_what_the_network_marks_is_decided_by_likeness(network):
    nothing, all_marked = (
        np.zeros((3, SIZE, SIZE), np.float32),
        np.ones((3, SIZE, SIZE), np.float32),
    )
    without = network._maps(group(), (), nothing)
    found = network._maps(group(), (), agnostic.DOUBT * all_marked)
    assert (found - without).max() > 0.1  # the second head alone would leave these cells


def test_masks_have_edges_where_the_image_has_them():
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, 30:] = 255
    blurred = np.tile(np.clip((np.arange(SIZE) - 24) / 12, 0, 1).astype(np.float32), (SIZE, 1))
    found = agnostic._with_edges(blurred, image)
    assert found.shape == (SIZE, SIZE)
    steps = [each[:, 31].mean() - each[:, 28].mean() for each in (blurred, found)]
    assert steps[1] > 1.8 * steps[0]
    maps = FeatureMaps(*(np.zeros((2, 2, 1), np.float32) for _ in FeatureMaps._fields))
    np.testing.assert_array_equal(agnostic._with_edges(blurred, maps), blurred)


def test_only_the_wanted_images(network):
    everything, some = network.segment(group()), network.segment(group(), wanted=[2, 0])
    for one, other in zip(some[:3], everything[:3], strict=True):
        np.testing.assert_allclose(one, np.asarray(other)[[2, 0]], atol=1e-5)


def with_presence(network, monkeypatch, presence: float, known: float = 0.1):
    """What the network's own head finds, made as sure of itself as `presence` and `known` say."""
    found = network._network.segment_unmarked(group())
    found = found._replace(presence=np.full(3, presence, np.float32))
    monkeypatch.setattr(network._network, "segment_unmarked", lambda *_, report: found)
    monkeypatch.setattr(Familiarity, "of", lambda *_: known)
    return found


@pytest.mark.parametrize("presence", [0.995, 0.6])
def test_a_network_that_knows_the_category_is_believed(network, monkeypatch, presence):
    found = with_presence(network, monkeypatch, presence, known=0.7)
    result = network.segment(group())
    np.testing.assert_array_equal(result.probability_maps, found.probability_maps)
    assert result.known == 0.7


@pytest.mark.parametrize(("others", "empty"), [(0.95, True), (0.6, False)])
def test_an_image_without_a_probably_known_object_stays_empty(network, monkeypatch, others, empty):
    monkeypatch.setattr(familiarity, "STRANGER_SHARE", 0.34)  # one of three
    found = with_presence(network, monkeypatch, others)
    found.presence[2] = 0.1
    maps = network.segment(group()).probability_maps
    added = np.abs(maps - found.probability_maps).max(axis=(1, 2))
    assert added[0] > 1e-3
    assert (added[2] == 0) == empty


def test_presence_is_calibrated_by_the_head_that_drew_the_masks(network, monkeypatch):
    with_presence(network, monkeypatch, 0.6)
    result = network.segment(group())
    raw = np.asarray(presence_of(result.probability_maps))
    expected = agnostic.calibrated(raw, *agnostic.AGNOSTIC_PRESENCE)
    np.testing.assert_allclose(result.presence, expected, atol=1e-6)


def test_presence_of_the_networks_masks_is_calibrated(network, monkeypatch):
    with_presence(network, monkeypatch, 0.9, known=0.7)
    expected = agnostic.calibrated(np.full(3, 0.9, np.float32), *agnostic.NETWORK_PRESENCE)
    np.testing.assert_allclose(network.segment(group()).presence, expected)


@pytest.mark.parametrize(
    ("head", "emptied", "kept"),
    [(agnostic.AGNOSTIC_PRESENCE, 0.8, 0.9), (agnostic.NETWORK_PRESENCE, 0.49, 0.51)],
)
def test_a_calibrated_presence(head, emptied, kept):
    found = agnostic.calibrated(np.asarray([0, emptied, kept, 1], np.float32), *head)
    assert (np.diff(found) > 0).all()
    assert 0 < found[0] < found[1] < 0.5 < found[2] < found[3] < 1


@pytest.mark.parametrize(("known", "named"), [(0.6, True), (0.4, False)])
def test_categories_are_named_only_where_they_are_known(network, monkeypatch, known, named):
    with_presence(network, monkeypatch, 0.99, known)
    assert network.segment(group()).class_probabilities.any() == named


def test_a_prompt_is_in_its_image_and_changes_the_others(network):
    given = prompted(slice(8, 24), slice(8, 24))
    without, found = network.segment(group()), network.segment(group(), [given])
    assert found.probability_maps[1, 9:23, 9:23].min() == 1
    assert found.presence[1] == 1
    assert np.abs(found.probability_maps[0] - without.probability_maps[0]).max() > 1e-3


@pytest.mark.parametrize("covers", [True, False])
def test_the_network_does_not_count_where_it_misses_what_is_shown(network, monkeypatch, covers):
    given = prompted(slice(8, 24), slice(8, 24))
    found = with_presence(network, monkeypatch, 1.0, known=0.9)
    maps = np.zeros_like(found.probability_maps)
    maps[1, 8:24, 8:24] = 0.9 * covers
    monkeypatch.setattr(
        network._network,
        "segment_unmarked",
        lambda *_, report: found._replace(probability_maps=maps),
    )
    result = network.segment(group(), [given])
    others = maps if covers else network._maps(group(), [given], np.zeros_like(maps))
    np.testing.assert_allclose(result.probability_maps[0], others[0], atol=1e-6)
    assert result.class_probabilities.any() == covers
    assert result.known == (0.9 if covers else 0)


@pytest.mark.slow
def test_a_large_group_is_compared_in_parts(network, monkeypatch):
    monkeypatch.setattr(agnostic, "MOST_TOGETHER", 2)
    least = np.random.default_rng(2).uniform(0, 0.5, (3, SIZE, SIZE)).astype(np.float32)
    both = [network._maps(group()[part], (), least[part]) for part in (slice(2), slice(2, 3))]
    np.testing.assert_allclose(network._maps(group(), (), least), np.concatenate(both), atol=1e-6)
