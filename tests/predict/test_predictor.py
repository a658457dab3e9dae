"""The predictor on the golden network of the quick start, against whole groups in one call."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cosseg_jax
from cosseg_jax import Prompt
from cosseg_jax.data import images
from cosseg_jax.data.augment import resized_image
from cosseg_jax.data.images import check_list
from cosseg_jax.data.registry import load_source
from cosseg_jax.predict.chunked import Stream
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.forward import make_predictor
from cosseg_jax.predict.guided_filter import refined
from cosseg_jax.predict.predictor import Predictor, presence_of

EXPORT = Path(__file__).parent / "goldens" / "quickstart"


@pytest.fixture(scope="module")
def predictor():
    return cosseg_jax.load(EXPORT)


@pytest.fixture(scope="module")
def pictures():
    """Seven of one unseen category, of different sizes."""
    source = load_source("shapes", "unseen")
    shown = [Image.fromarray(source[int(i)].image) for i in source.members[0][:7]]
    return [np.array(x.resize((80 + 9 * k, 130 - 7 * k))) for k, x in enumerate(shown)]


@pytest.fixture(scope="module")
def result(predictor, pictures):
    return predictor(pictures)


def test_it_predicts_what_the_network_does_for_the_whole_group(result, pictures):
    config, variables = load_exported(EXPORT)
    small = np.stack([resized_image(x, config.image_size) for x in pictures])[None]
    masks = make_predictor(config, variables)(small)
    for place, photo in enumerate(result.photos):
        np.testing.assert_allclose(photo.map, masks.probabilities[0, place], atol=1e-4)
        np.testing.assert_allclose(photo.prior, masks.prior[0, place], atol=1e-3)
    assert set(result.categories) == set(config.categories)
    assert all(0 <= score <= 1 for score in result.categories.values())


@pytest.mark.parametrize("chunk", [1, 3, 7, 8])
def test_the_chunk_size_changes_nothing(predictor, pictures, result, chunk):
    for one, other in zip(predictor(pictures, chunk=chunk).photos, result.photos, strict=True):
        np.testing.assert_allclose(one.map, other.map, atol=1e-4)
        np.testing.assert_allclose(one.presence, other.presence, atol=1e-4)


@pytest.mark.parametrize("chunk", [2, 7])
def test_further_rounds_are_those_of_the_network(pictures, result, chunk):
    config, variables = load_exported(EXPORT)
    config.model.num_iterations = 2
    small = np.stack([resized_image(x, config.image_size) for x in pictures])[None]
    masks = make_predictor(config, variables)(small)
    seen = []
    found = Predictor(config, variables)(
        pictures, chunk=chunk, progress=lambda *counts: seen.append(counts)
    )
    for place, photo in enumerate(found.photos):
        np.testing.assert_allclose(photo.map, masks.probabilities[0, place], atol=1e-4)
    assert any(
        np.abs(one.map - other.map).max() > 0.01
        for one, other in zip(found.photos, result.photos, strict=True)
    )
    assert seen[-1] == (7, 7)


@pytest.fixture
def encoded(monkeypatch):
    """How many photographs each encoding takes, from now on."""
    chunks = []
    encode = Stream._encode
    monkeypatch.setattr(
        Stream, "_encode", lambda self, images: chunks.append(len(images)) or encode(self, images)
    )
    return chunks


def test_maps_of_a_large_group_are_computed_again(pictures, result, monkeypatch, encoded):
    monkeypatch.setattr("cosseg_jax.predict.chunked.KEPT_MAPS", 6)
    for one, other in zip(cosseg_jax.load(EXPORT)(pictures).photos, result.photos, strict=True):
        np.testing.assert_array_equal(one.map, other.map)
    assert encoded == [5, 5] * 2


def test_a_group_that_is_asked_for_again_is_not_encoded_again(pictures, result, encoded):
    predictor = cosseg_jax.load(EXPORT)
    predictor(pictures)
    assert encoded == [5, 5]
    predictor(pictures, prompt=Prompt(1, point=(44.0, 60.0)))
    for one, other in zip(predictor(pictures).photos, result.photos, strict=True):
        np.testing.assert_array_equal(one.map, other.map)
    assert encoded == [5, 5]
    predictor(pictures[:5])
    assert encoded == [5, 5]
    predictor(pictures[1:])
    assert encoded == [5, 5] * 2


def test_maps_are_kept_of_the_photographs_seen_last_only(pictures, monkeypatch, encoded):
    monkeypatch.setattr("cosseg_jax.predict.chunked.KEPT_MAPS", 7)
    predictor = cosseg_jax.load(EXPORT)
    for group in (pictures[:5], pictures[1:6], pictures[:5]):
        predictor(group)
    assert encoded == [5, 5]
    predictor(pictures[2:7])
    predictor(pictures[1:6])
    assert encoded == [5] * 4


def test_probabilities_and_masks_have_the_photographs_own_size(result, pictures):
    for photo, picture in zip(result.photos, pictures, strict=True):
        assert photo.probability.shape == photo.mask.shape == picture.shape[:2]
        assert 0 <= photo.probability.min() <= photo.probability.max() <= 1
        np.testing.assert_array_equal(photo.mask_at(0.3), photo.probability > 0.3)


def test_a_photograph_without_the_object_has_an_empty_mask(result):
    absent = dataclasses.replace(result.photos[0], presence=0.4, map=np.full((4, 4), 0.6, "f4"))
    assert not absent.mask.any()
    assert absent.mask_at(0.3).all()


def test_presence_is_the_mean_of_the_surest_hundredth():
    surest = np.zeros((20, 20))
    surest[3, :4] = (0.2, 0.4, 0.6, 0.8)
    assert presence_of(surest) == pytest.approx(0.5)
    assert presence_of(np.full((2, 2), 0.3)) == pytest.approx(0.3)


def test_photographs_may_come_in_any_form(predictor, pictures, result, tmp_path):
    picture = Image.fromarray(pictures[0])
    picture.save(tmp_path / "zebra.png")
    content = (tmp_path / "zebra.png").read_bytes()
    forms = [tmp_path / "zebra.png", str(tmp_path / "zebra.png"), content, picture, pictures[0]]
    found = [predictor([form, *pictures[1:]]).photos[0] for form in forms]
    assert [photo.name for photo in found] == ["zebra", "zebra", "1", "1", "1"]
    for photo in found:
        np.testing.assert_array_equal(photo.map, result.photos[0].map)
    assert predictor(pictures[:1], names=["mine"]).photos[0].name == "mine"


def test_refined_edges_follow_the_photograph(predictor, pictures, result, monkeypatch):
    monkeypatch.setattr(predictor, "options", predictor.options._replace(refine=True))
    photo = predictor(pictures).photos[3]
    np.testing.assert_array_equal(photo.image, pictures[3])
    np.testing.assert_array_equal(photo.probability, refined(photo.map, pictures[3]))
    assert np.abs(photo.probability - result.photos[3].probability).max() > 0.01


def test_progress_ends_with_all_of_them(predictor, pictures):
    seen = []
    predictor(pictures, progress=lambda *counts: seen.append(counts))
    assert seen == sorted(seen)
    assert seen[-1] == (7, 7)


def test_with_mirror_images_a_mirrored_group_has_mirrored_maps(pictures):
    config, variables = load_exported(EXPORT)
    with config.unlocked():
        config.prediction = {"mirror": True, "image_size": 0}
    predictor = Predictor(config, variables)
    mirrored = predictor([np.ascontiguousarray(x[:, ::-1]) for x in pictures]).photos
    for one, other in zip(predictor(pictures).photos, mirrored, strict=True):
        np.testing.assert_allclose(one.map, other.map[:, ::-1], atol=0.02)  # of resizing


# Prompts


def test_a_mark_moves_the_whole_group(predictor, pictures, result):
    marked = predictor(pictures, prompt=Prompt(6, point=(40, 30)))
    moved = [
        np.abs(one.map - other.map).max()
        for one, other in zip(marked.photos, result.photos, strict=True)
    ]
    assert min(moved) > 1e-3
    again = predictor(pictures, prompt=Prompt(6, point=(40, 30)), chunk=2)
    for one, other in zip(marked.photos, again.photos, strict=True):
        np.testing.assert_allclose(one.map, other.map, atol=1e-4)


def test_a_box_and_its_mask_are_the_same_mark(predictor, pictures):
    height, width = pictures[2].shape[:2]
    mask = np.zeros((height, width), bool)
    mask[10:50, 20:60] = True
    box = predictor(pictures, prompt=Prompt(2, box=(20, 10, 60, 50)))
    for one, other in zip(
        box.photos, predictor(pictures, prompt=Prompt(2, mask=mask)).photos, strict=True
    ):
        np.testing.assert_array_equal(one.map, other.map)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(7, point=(1, 1)), "marks photograph 7; the group's are 0 to 6"),
        (Prompt(0, point=(80, 1)), "point 80,1 is outside the photograph of 80 x 130"),
        (Prompt(0, box=(5, 5, 5, 9)), "box 5,5,5,9 holds no pixel of the photograph of 80 x 130"),
        (Prompt(0, mask=np.ones((3, 4), bool)), "mask is 4 x 3, the photograph 80 x 130"),
        (Prompt(0, mask=np.zeros((130, 80), bool)), "mask is empty"),
    ],
)
def test_marks_that_do_not_fit_are_refused(predictor, pictures, prompt, message):
    with pytest.raises(ValueError, match=message):
        predictor(pictures, prompt=prompt)


@pytest.mark.parametrize("given", [{}, {"point": (1, 2), "box": (1, 2, 3, 4)}])
def test_a_prompt_takes_one_mark(given):
    with pytest.raises(ValueError, match="takes one of point, box and mask; found"):
        Prompt(0, **given)


# Bad input


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        ([], {}, "photos is empty; give one photograph or more"),
        ("a.jpg", {}, "photos is a single str, not a list"),
        ([b"text"], {}, "1 does not decode as an image"),
        ([Image.new("F", (4, 4))], {}, "1 has floating-point pixels"),
        ([np.zeros((4, 4, 3))], {}, r"1 is an array of float64 and shape \(4, 4, 3\); expected"),
        ([np.zeros((4, 4, 2), np.uint8)], {}, r"uint8 and shape \(4, 4, 2\); expected"),
        ([np.zeros((4, 4), np.uint8)], {"names": []}, "0 names for 1 photographs"),
        ([np.zeros((4, 4), np.uint8)], {"chunk": 0}, "chunk is 0; it takes 1 or more"),
    ],
)
def test_what_is_no_photograph_is_named(predictor, photos, options, message):
    with pytest.raises(ValueError, match=message):
        predictor(photos, **options)


@pytest.mark.parametrize(
    "photo", [Path("a.jpg"), b"...", Image.new("RGB", (4, 4)), np.zeros((4, 4, 3), np.uint8)]
)
def test_a_photograph_outside_a_list_is_refused(photo):
    with pytest.raises(ValueError, match=rf"a single {type(photo).__name__}, not a list; put it"):
        check_list(photo)


def test_heic_without_its_library_says_what_to_install(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LIBRARY", "no_such_library")
    (tmp_path / "phone.heic").write_bytes(b"ftypheic")
    with pytest.raises(
        ValueError, match=r"phone\.heic does not decode: .* pip install pillow-heif"
    ):
        predictor([tmp_path / "phone.heic"])


def test_a_path_that_leads_nowhere_is_named(predictor):
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg is no file"):
        predictor(["absent.jpg"])


def test_a_link_that_leads_nowhere_is_named(predictor, tmp_path):
    (tmp_path / "link.jpg").symlink_to("absent.jpg")
    with pytest.raises(FileNotFoundError, match=r"link\.jpg is a link that leads nowhere"):
        predictor([tmp_path / "link.jpg"])
