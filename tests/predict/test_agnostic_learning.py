"""Classes of concepts that the second head finds: by a prototype, in each image by itself."""

import jax
import numpy as np
import pytest
from toy_networks import toy_network

from cosseg_jax.errors import UserError
from cosseg_jax.models.agnostic_head import AgnosticHead
from cosseg_jax.models.layers import resize
from cosseg_jax.predict import agnostic
from cosseg_jax.predict.agnostic import AgnosticNetwork
from cosseg_jax.predict.agnostic_learning import (
    OFFSET,
    WEIGHT,
    head_alone,
    presence_in,
    prototype_of,
)
from cosseg_jax.predict.chunked import ChunkedNetwork
from cosseg_jax.predict.encodings import EncodedImage
from cosseg_jax.predict.familiarity import Familiarity
from cosseg_jax.predict.learning import overlap

SIZE = 64
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
LEFT = np.zeros((SIZE, SIZE), bool)
LEFT[:, : SIZE // 2] = True
KINDS = np.eye(3, dtype=np.float16)  # descriptors of three kinds of cells


@pytest.fixture(scope="module")
def network():
    with toy_network(IMAGES[:3]) as (inner, variables):
        plain = ChunkedNetwork(inner, variables, SIZE)
        coarse, fine, _ = plain.feature_maps(group(IMAGES))
        head = AgnosticHead().init(jax.random.key(0), coarse[None], fine[None])
        known = Familiarity(np.zeros(coarse.shape[-1], np.float32), np.eye(2, coarse.shape[-1]))
        yield AgnosticNetwork(plain, head, known)


def group(images) -> list[EncodedImage]:
    return [EncodedImage(lambda image=image: image) for image in images]


def choosing(monkeypatch, *, second: bool):
    """Makes `learn` prefer one of both heads."""
    scores = iter((1.0, 0.0) if second else (0.0, 1.0))
    monkeypatch.setattr(agnostic, "overlap", lambda maps, masks: next(scores))


def test_a_prototype_is_what_distinguishes_the_object():
    maps = KINDS[np.asarray([[[0, 1], [0, 1]], [[2, 1], [1, 1]]])]  # [2, 2, 2, 3]
    masks = [LEFT, np.zeros((8, 8), bool)]
    middle, prototype = prototype_of(maps, masks)
    np.testing.assert_allclose(middle, [2 / 8, 5 / 8, 1 / 8])
    expected = np.asarray([6 / 8, -5 / 8, -1 / 8])
    np.testing.assert_allclose(prototype, expected / np.linalg.norm(expected), rtol=1e-4)


def test_likeness_is_added_to_what_the_head_sees_alone(network):
    maps = network.feature_maps(group(IMAGES[:1]))
    one = [each[0] for each in maps]
    channels = one[2].shape[-1]
    prototype = np.eye(channels, dtype=np.float32)[0]
    variables, middle = network._variables, np.zeros(channels, np.float32)
    found = jax.jit(head_alone((SIZE, SIZE)))(variables, one, middle, prototype)
    logits = AgnosticHead().apply(variables, maps.coarse[:1, None], maps.fine[:1, None])[-1][0, 0]
    x = one[2].astype(np.float32)
    cosine = x[..., 0] / np.sqrt((x**2).sum(-1) + 1e-6)
    expected = resize((logits + WEIGHT * cosine + OFFSET)[None, ..., None], SIZE, SIZE)[0, ..., 0]
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-np.asarray(expected))), atol=1e-3)
    np.testing.assert_allclose(found[1], cosine, atol=1e-3)


def test_presence_is_told_by_what_is_marked():
    presence = presence_in(np.asarray([0.99, 0.99, 0.0]), np.asarray([0.9, -0.3, 0.0]))
    assert presence.dtype == np.float32
    assert presence[0] > 0.9
    assert presence[1] < 0.1
    assert presence[2] < 0.1


def test_the_head_that_finds_the_class_better_is_taken(network, monkeypatch):
    masks = [LEFT, ~LEFT]
    choosing(monkeypatch, second=True)
    learnt = network.learn(group(IMAGES[:2]), masks)
    assert learnt.by_second_head
    assert learnt.middle.shape == learnt.prototype.shape
    choosing(monkeypatch, second=False)
    assert not network.learn(group(IMAGES[:2]), masks).by_second_head


def test_a_class_is_found_in_each_image_by_itself(network, monkeypatch):
    choosing(monkeypatch, second=True)
    learnt = network.learn(group(IMAGES[:2]), [LEFT, LEFT])
    together = network.apply(group(IMAGES), learnt)
    maps, prior, presence = together
    assert maps.shape == (4, SIZE, SIZE)
    assert presence.shape == (4,)
    np.testing.assert_allclose(np.mean(prior**2, axis=(1, 2)), 1, rtol=1e-3)
    for place in range(4):
        alone = network.apply(group(IMAGES[place : place + 1]), learnt)
        for one, every in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], every[place], atol=1e-3)


def test_a_class_of_the_network_is_found_as_without_the_head(network, monkeypatch):
    choosing(monkeypatch, second=False)
    learnt = network.learn(group(IMAGES[:2]), [LEFT, LEFT])
    for one, other in zip(
        network.apply(group(IMAGES), learnt),
        network._network.apply(group(IMAGES), learnt),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_prototype_of_other_channels_is_refused(network, monkeypatch):
    choosing(monkeypatch, second=True)
    learnt = network.learn(group(IMAGES[:2]), [LEFT, LEFT])
    cut = learnt._replace(middle=learnt.middle[1:], prototype=learnt.prototype[1:])
    with pytest.raises(UserError, match="the concept is damaged: its prototype has"):
        network.apply(group(IMAGES[:1]), cut)


def test_overlap_counts_the_images_that_show_the_object():
    right = np.where(LEFT, 0.9, 0.1).astype(np.float32)
    maps = np.stack([right, right, 1 - right])
    assert overlap(maps, [LEFT, np.zeros_like(LEFT), LEFT]) == pytest.approx(0.5)
