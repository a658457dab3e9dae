"""Concepts: what is learnt, what it finds in an image by itself, and its file."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file
from toy_networks import toy_network

from cosseg_jax.data.images import reopenable
from cosseg_jax.errors import UserError
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.concept import (
    CONCEPT_FORMAT,
    Concept,
    LearntClass,
    check_network,
    concept_digest,
    joined,
)
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.learning import cell_weights, describe, learnt_class, prior_of, trust_in
from cosseg_jax.predict.learning import with_evidence as raised
from cosseg_jax.predict.result import ConceptResult, ImageResult
from cosseg_jax.predict.session import Session
from cosseg_jax.types import FeatureMaps, ImageEncoding

SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
LEFT = np.arange(SIZE)[None, :].repeat(SIZE, 0) < SIZE // 2
NOTHING = np.zeros((SIZE, SIZE), bool)


@pytest.fixture(scope="module")
def network():
    with toy_network(IMAGES) as (network, variables):
        yield ChunkedNetwork(network, variables, SIZE, chunk_size=2)


def encoded(images) -> list[EncodedImage]:
    return [EncodedImage(lambda image=image: image) for image in images]


def made_up(seed: int = 0, images: int = 3, channels: int = 6) -> LearntClass:
    rng = np.random.default_rng(seed)
    shapes = [(8,), (8,), (), (channels,), (images, channels), (images, channels), ()]
    arrays = [np.asarray(rng.standard_normal(s), np.float32) for s in shapes]
    finer = [rng.standard_normal(4).astype(np.float32) for _ in range(2)]
    return LearntClass(*arrays[:-1], np.float32(0.5), *finer)


def test_an_image_is_segmented_alike_whatever_comes_along(network):
    learnt = network.learn(encoded(IMAGES[:3]), [LEFT, LEFT, NOTHING])
    together = network.apply(encoded(IMAGES), learnt)
    alone = network.apply(encoded(IMAGES[3:4]), learnt)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one[0], other[3], atol=1e-5)


def test_what_is_learnt_depends_neither_on_order_nor_on_chunks(network):
    masks = [LEFT, NOTHING, ~LEFT]
    forth = network.learn(encoded(IMAGES[:3]), masks)
    back = network.learn(encoded(IMAGES[2::-1]), masks[::-1])
    for name in ("gamma", "direction", "offset", "centre"):
        np.testing.assert_allclose(getattr(forth, name), getattr(back, name), atol=1e-4)
    assert (len(forth.foreground), len(forth.background)) == (2, 3)


def test_gamma_is_pooled_under_the_masks_alone(network):
    """An image without the object changes prototypes, but not gamma."""
    alone = network.learn(encoded(IMAGES[:1]), [LEFT])
    beside = network.learn(encoded(IMAGES[:2]), [LEFT, NOTHING])
    np.testing.assert_allclose(alone.gamma, beside.gamma, atol=1e-5)
    other = network.learn(encoded(IMAGES[:1]), [~LEFT])
    assert np.abs(alone.gamma - other.gamma).max() > 1e-4


def test_prior_and_evidence_tell_the_object_from_the_rest():
    """Cells are of two kinds: the object is where the masks are, in images not seen as well."""
    kinds = np.eye(2, dtype=np.float32)[np.repeat([[0, 0, 1, 1]], 4, axis=0)] + 3  # [4, 4, 2]
    maps = (kinds, kinds[:, ::-1])
    images = tuple(ImageEncoding(FeatureMaps(*[each] * 4), each, each) for each in maps)
    weights = [cell_weights(LEFT, 4, 4)]
    described = describe(images[:1], np.stack([each.values for each in weights]))
    learnt = learnt_class(np.ones(2, np.float32), described, weights)
    prior = prior_of(images, learnt)
    assert (prior[0, :, :2] > 0.9).all()
    assert (prior[1, :, :2] < -0.9).all()
    assert np.mean(prior[0] ** 2) == pytest.approx(1, abs=0.05)
    even = np.full((2, 4, 4), 0.5, np.float32)
    assert raised(even, images, learnt) is even
    found = raised(even, images, learnt._replace(trust=np.zeros((), np.float32)))
    np.testing.assert_array_equal(found[0] > 0.5, LEFT[::16, ::16])
    np.testing.assert_array_equal(found[1] > 0.5, ~LEFT[::16, ::16])


def test_the_network_is_trusted_where_it_finds_the_object_that_is_learnt():
    right = np.where(LEFT, 0.9, 0.1).astype(np.float32)
    maps = np.stack([right, 1 - right])
    assert trust_in(maps[:1], [LEFT]) == 1
    assert trust_in(maps[1:], [LEFT]) == 0
    assert trust_in(maps, [LEFT, LEFT]) == 1
    assert trust_in(maps, [NOTHING, LEFT]) == 0


def test_a_saved_concept_is_the_same_and_small(tmp_path):
    concept = Concept({"tea pot": made_up(1, images=10, channels=2048), "cup": made_up(2)}, "ab")
    concept.save(tmp_path / "x.concept")
    found = Concept.load(tmp_path / "x.concept")
    assert (list(found.classes), found.network) == (["tea pot", "cup"], "ab")
    assert concept_digest(found) == concept_digest(concept)
    assert (tmp_path / "x.concept").stat().st_size < 2_000_000


@pytest.mark.parametrize("end", [0, 7, 200])
def test_a_file_that_is_cut_off_is_named(tmp_path, end):
    path = tmp_path / "x.concept"
    Concept({"cup": made_up()}, "ab").save(path)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(UserError, match=r"x\.concept"):
        Concept.load(path)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({}, {}, "is no concept that this version reads: it is none"),
        ({}, {"format": "cosseg_jax concept 9"}, "of the format 'cosseg_jax concept 9'"),
        ({}, {"format": CONCEPT_FORMAT}, "its header names no classes"),
        ({}, {"format": CONCEPT_FORMAT, "classes": "[3]"}, "its header names no classes"),
        ({}, {"format": CONCEPT_FORMAT, "classes": '["a"]'}, "is damaged: 0/background is not as"),
        (
            {"0/gamma": (3,)},
            {"format": CONCEPT_FORMAT, "classes": '["a"]'},
            "its arrays have the shapes",
        ),
    ],
)
def test_what_is_no_concept_is_named(tmp_path, arrays, metadata, message):
    given = {}
    if arrays:
        fields = made_up()._asdict() | {"gamma": np.zeros(arrays["0/gamma"])}
        given = {f"0/{name}": np.asarray(value, np.float32) for name, value in fields.items()}
    save_file(given or {"other": np.zeros(1, np.float32)}, tmp_path / "x.concept", metadata)
    with pytest.raises(UserError, match=message):
        Concept.load(tmp_path / "x.concept")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gamma", np.nan),
        ("gamma", 2e6),
        ("offset", -np.inf),
        ("trust", 1.5),
        ("trust", -1.0),
        ("prototype", np.inf),
    ],
)
def test_numbers_that_no_network_has_learnt_are_refused(tmp_path, field, value):
    """Finite ones too: of 3e38 the network would make maps of NaN."""
    learnt = made_up()
    other = np.full_like(getattr(learnt, field), value)
    Concept({"cup": learnt._replace(**{field: other})}, "ab").save(tmp_path / "x.concept")
    with pytest.raises(UserError, match=r"x\.concept is damaged: it has a number that no network"):
        Concept.load(tmp_path / "x.concept")


@pytest.mark.parametrize("fields", [("gamma", "direction"), ("centre", "foreground", "background")])
def test_vectors_that_do_not_fit_the_network_are_refused(network, fields):
    """Such a file says that it was learnt with this network."""
    learnt = network.learn(encoded(IMAGES[:1]), [LEFT])
    cut = {field: getattr(learnt, field)[..., :-1] for field in fields}
    with pytest.raises(UserError, match="the concept is damaged: its vectors have"):
        network.apply(encoded(IMAGES[:1]), learnt._replace(**cut))


def test_a_class_of_a_second_head_is_refused_by_a_network_without_one(network):
    learnt = network.learn(encoded(IMAGES[:1]), [LEFT])
    assert not learnt.by_second_head
    other = learnt._replace(middle=np.zeros(4, np.float32), prototype=np.ones(4, np.float32))
    with pytest.raises(UserError, match="with a head for unknown categories, which this network"):
        network.apply(encoded(IMAGES[:1]), other)


@pytest.mark.parametrize("kind", [np.float16, np.int32, np.uint8])
def test_numbers_of_another_type_are_refused(tmp_path, kind):
    arrays = {f"0/{name}": np.asarray(x, kind) for name, x in made_up()._asdict().items()}
    save_file(arrays, tmp_path / "x.concept", {"format": CONCEPT_FORMAT, "classes": '["a"]'})
    with pytest.raises(UserError, match=r"x\.concept"):
        Concept.load(tmp_path / "x.concept")


def test_a_class_whose_name_is_no_text_is_neither_read_nor_learnt(tmp_path):
    Concept({"cup \ud800": made_up()}, "ab").save(tmp_path / "x.concept")
    with pytest.raises(UserError, match="its header names no classes"):
        Concept.load(tmp_path / "x.concept")
    predictor = SimpleNamespace(network=None, categories=(), image_result=lambda *_: None)
    with pytest.raises(UserError, match="is no text"):
        Session(predictor, []).learn("cup \udcff")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*absent\.concept"):
        Concept.load(tmp_path / "absent.concept")


def test_another_network_is_refused(network):
    concept = Concept({"cup": made_up()}, "0123456789")
    with pytest.raises(UserError, match=r"learnt with another network \(01234567, this one is"):
        check_network(concept, network.digest)
    check_network(Concept({}, network.digest), network.digest)


def test_concepts_are_joined_unless_their_names_or_networks_differ():
    cup, pot = Concept({"cup": made_up()}, "ab"), Concept({"pot": made_up(1)}, "ab")
    assert list(joined([cup, pot]).classes) == ["cup", "pot"]
    with pytest.raises(UserError, match="two concepts have a class 'cup'; learn one by another"):
        joined([cup, cup])
    with pytest.raises(UserError, match="learnt with different networks"):
        joined([cup, pot._replace(network="cd")])


def test_a_pixel_goes_to_its_likeliest_class_or_to_none():
    source = reopenable(np.zeros((3, 3, 3), np.uint8), "a")

    def image(values, presence=1.0):
        values = np.asarray([values] * 3, np.float32)
        return ImageResult("a", 3, 3, values, values, presence, None, source)

    both = ConceptResult("a", {"x": image([0.9, 0.6, 0.1]), "y": image([0.2, 0.8, 0.3])})
    assert both.labels[0].tolist() == [1, 2, 0]
    assert both.labels_at(0.85)[0].tolist() == [1, 0, 0]
    absent = ConceptResult("a", {"x": image([0.9, 0.6, 0.1], 0.4), "y": image([0.2, 0.8, 0.3])})
    assert absent.labels[0].tolist() == [0, 2, 0]
