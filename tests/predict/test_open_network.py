"""The open mode: masks chosen among proposals, by scorers that know no category."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_networks import ToyBackbone, drawn_variables

import cosseg_jax
from configs import hrnet
from cosseg_jax.data.prompts import Marked
from cosseg_jax.errors import UserError
from cosseg_jax.models.backbones import BACKBONES
from cosseg_jax.models.proposal_features import NUM_FEATURES, NUM_GROUP_FEATURES, SIDE, Proposals
from cosseg_jax.models.proposal_scorer import ProposalScorer, Scorers
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict import open_network
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import Familiarity
from cosseg_jax.predict.open_network import (
    OpenNetwork,
    open_map,
    open_presence,
    score_seen,
    see,
)
from cosseg_jax.predict.prompting import PromptedImage
from cosseg_jax.predict.proposals import GRID, MOST_PROPOSALS, POINTS_AT_ONCE, _distinct
from cosseg_jax.types import GroupPrediction

SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
LEFT, RIGHT = slice(10, 50), slice(80, 120)  # columns of the two proposals of every image


def two_proposals(image) -> Proposals:
    maps = np.zeros((2, SIDE, SIDE), np.uint8)
    maps[0, 40:90, LEFT] = maps[1, 40:90, RIGHT] = 255
    return Proposals(maps, np.asarray([0.9, 0.8]), np.asarray([0.9, 0.9]))


def marks(columns: slice, excluded: bool = False) -> Marked:
    pixels = np.zeros((SIDE, SIDE), bool)
    pixels[60:66, columns.start + 10 : columns.start + 16] = True
    nothing = np.zeros_like(pixels)
    return Marked(nothing, pixels, nothing) if excluded else Marked(pixels, nothing, pixels)


def toy_network(use_semantic: bool = True) -> ChunkedNetwork:
    config = hrnet.get_config()
    config.model.backbone = "toy"
    config.model.features = 8
    config.model.use_semantic = use_semantic
    config.model.semantic.reduced = 4
    network = from_config(config.model, 2)
    return ChunkedNetwork(network, drawn_variables(network, IMAGES[None]), SIZE)


@pytest.fixture(scope="module", autouse=True)
def toy_backbone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "toy", ToyBackbone)
        yield


@pytest.fixture(scope="module")
def network(toy_backbone):
    key = jax.random.key(0)
    sizes = NUM_GROUP_FEATURES, NUM_FEATURES
    scorers = Scorers(*(ProposalScorer().init(key, jnp.zeros((1, size))) for size in sizes))
    plain = toy_network()
    channels = plain.feature_channels[0]
    familiarity = Familiarity(np.zeros(channels, np.float32), np.zeros((1, channels), np.float32))
    return OpenNetwork(plain, two_proposals, scorers, familiarity)


def group() -> list[EncodedImage]:
    return [EncodedImage(lambda image=image: image) for image in IMAGES]


def test_masks_are_made_of_proposals(network):
    images = group()
    found = network.segment(images)
    assert found.probability_maps.shape == (3, SIZE, SIZE)
    assert not found.class_probabilities.any()  # they look like no category
    scored = score_seen(see(images, network._network, two_proposals), network._scorers)
    for image, each, scores in zip(images, found.probability_maps, scored, strict=True):
        chosen = scores[:, 0] >= min(0.5, scores[:, 0].max())
        mask = image.proposals.maps[chosen].max(axis=0)[::2, ::2] > 0  # type: ignore[union-attr]
        np.testing.assert_array_equal(each > 0.5, mask)


def test_only_the_wanted_images(network):
    images = group()
    everything, some = network.segment(images), network.segment(images, wanted=[2, 0])
    for one, other in zip(some[:3], everything[:3], strict=True):
        np.testing.assert_array_equal(one, np.asarray(other)[[2, 0]])


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "other"), [(LEFT, RIGHT), (RIGHT, LEFT)])
def test_a_prompt_chooses_in_its_image(network, columns, other):
    prompted = PromptedImage(1, marks(columns))
    maps = network.segment(group(), [prompted]).probability_maps
    assert maps[1][22:44, columns.start // 2 + 1 : columns.stop // 2 - 1].min() > 0.5
    assert maps[1][22:44, other.start // 2 + 1 : other.stop // 2 - 1].max() < 0.5


@pytest.mark.parametrize(("columns", "other"), [(LEFT, RIGHT), (RIGHT, LEFT)])
def test_what_is_excluded_is_not_chosen(network, columns, other):
    prompted = PromptedImage(1, marks(columns, excluded=True))
    maps = network.segment(group(), [prompted]).probability_maps
    assert maps[1][22:44, columns.start // 2 + 1 : columns.stop // 2 - 1].max() < 0.5
    assert maps[1][22:44, other.start // 2 + 1 : other.stop // 2 - 1].min() > 0.5


def test_masks_of_a_known_category_are_the_networks_or_better(network, monkeypatch):
    """Image 0's mask nearly is the left proposal, image 1's is elsewhere; 2 is prompted."""
    monkeypatch.setattr(Familiarity, "of", lambda *_: 0.9)
    monkeypatch.setattr(
        open_network, "score_seen", lambda *_: [np.asarray([[0.9, 0.9], [0.1, 0.1]])] * 3
    )
    maps = np.zeros((3, SIZE, SIZE), np.float32)
    maps[0, 21:46, 6:24] = 0.8
    maps[1:, :10, :10] = 0.7
    presence = np.asarray([1.0, 0.9, 1.0], np.float32)
    found = GroupPrediction(maps, np.zeros((3, 2, 2)), presence, np.zeros(2))
    monkeypatch.setattr(network._network, "segment", lambda group, prompted, report: found)
    masks = network.segment(group(), [PromptedImage(2, marks(LEFT))]).probability_maps > 0.5
    left = two_proposals(None).maps[0, ::2, ::2] > 0
    np.testing.assert_array_equal(masks[0], left)
    np.testing.assert_array_equal(masks[1], maps[1] > 0.5)
    np.testing.assert_array_equal(masks[2], left)


def test_presence_is_that_of_the_best_proposal():
    assert open_presence(np.asarray([[0.3, 0.9], [0.7, 0.2]])) == pytest.approx(0.7)
    assert open_presence(np.zeros((0, 2))) == 0


def test_an_image_without_proposals_is_empty():
    nothing = Proposals(np.zeros((0, SIDE, SIDE), np.uint8), np.zeros(0), np.zeros(0))
    assert open_map(nothing, np.zeros((0, 2)), SIZE).max() == 0


@pytest.mark.slow
def test_a_network_without_semantic_modulator_is_refused(network):
    other = OpenNetwork(toy_network(False), two_proposals, network._scorers, network._familiarity)
    with pytest.raises(UserError, match=r"model\.use_semantic"):
        other.segment(group())


def test_the_modes_are_checked():
    with pytest.raises(UserError, match=r"mode.*any.*open"):
        cosseg_jax.load(mode="any")


def test_proposals_are_certain_and_distinct():
    """Of five, one is doubted, one changes with the threshold, one is tiny, one repeats another."""
    maps = np.zeros((5, SIDE, SIDE), np.uint8)
    maps[:, 20:60, 20:60] = 255
    maps[1, 70:110, 70:110] = 255
    maps[3, 20:60, 20:60] = 0
    maps[3, :3, :3] = 255
    maps[4, 20:60, 60] = 255
    estimates = np.asarray([0.8, 0.5, 0.9, 0.9, 0.9])
    found = _distinct(Proposals(maps, estimates, np.asarray([0.9, 0.9, 0.6, 0.9, 0.95])))
    np.testing.assert_array_equal(found.maps, maps[[4]])


def test_no_more_than_the_most_proposals():
    count = MOST_PROPOSALS + 5
    maps = np.zeros((count, SIDE, SIDE), np.uint8)
    for number in range(count):
        row, column = divmod(number, 8)
        maps[number, 16 * row : 16 * row + 14, 16 * column : 16 * column + 14] = 255
    estimates = np.linspace(0.6, 0.9, count)
    found = _distinct(Proposals(maps, estimates, np.full(count, 0.9)))
    np.testing.assert_array_equal(found.estimates, estimates[::-1][:MOST_PROPOSALS])
    assert GRID**2 % POINTS_AT_ONCE == 0  # so that one shape is compiled
