"""The predictor on the golden network of the quick start, against whole groups in one call."""

import dataclasses
import weakref
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import cosseg_jax
from cosseg_jax import Prompt
from cosseg_jax.data import opening
from cosseg_jax.data.images import check_list
from cosseg_jax.data.registry import load_source
from cosseg_jax.data.resizing import resize_image
from cosseg_jax.errors import UserError
from cosseg_jax.models.ssnm import from_config
from cosseg_jax.predict.exported import load_exported
from cosseg_jax.predict.guided_filter import refined
from cosseg_jax.predict.predictor import Predictor

EXPORT = Path(__file__).parents[1] / "goldens" / "quickstart"


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


def whole_group(config, variables, pictures):
    """The probability maps and S of a group that passes through the network in one call."""
    small = np.stack([resize_image(x, config.image_size) for x in pictures])[None]
    network = from_config(config.model, len(config.categories))
    found = jax.jit(lambda images: network.apply(variables, images, train=False))(small)
    return jax.nn.sigmoid(found.mask_logits[0]), found.prior.values[0]


def assert_same(found, expected, atol=1e-4):
    for one, other in zip(found.images, expected.images, strict=True):
        np.testing.assert_allclose(one.probability_map, other.probability_map, atol=atol)
        np.testing.assert_allclose(one.presence, other.presence, atol=atol)


@pytest.mark.slow
def test_it_predicts_what_the_network_does_for_the_whole_group(result, pictures):
    config, variables = load_exported(EXPORT)
    maps, priors = whole_group(config, variables, pictures)
    for image, probability_map, prior in zip(result.images, maps, priors, strict=True):
        np.testing.assert_allclose(image.probability_map, probability_map, atol=1e-4)
        np.testing.assert_allclose(image.prior, prior, atol=1e-3)
    assert set(result.categories) == set(config.categories)
    assert all(0 <= score <= 1 for score in result.categories.values())


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [1, 3, 8])
def test_the_chunk_size_changes_nothing(pictures, result, chunk_size):
    assert_same(cosseg_jax.load(EXPORT, chunk_size=chunk_size)(pictures), result)


@pytest.mark.slow
def test_a_cold_predictor_gives_the_same(pictures, result):
    assert_same(cosseg_jax.load(EXPORT, cold=True)(pictures), result)


@pytest.mark.slow
@pytest.mark.parametrize("chunk_size", [2, 7])
def test_further_iterations_are_those_of_the_network(pictures, result, chunk_size):
    config, variables = load_exported(EXPORT)
    config.model.num_iterations = 2
    maps, _ = whole_group(config, variables, pictures)
    seen = []
    found = Predictor(config, variables, chunk_size=chunk_size)(
        pictures, progress=lambda *counts: seen.append(counts)
    )
    for image, probability_map in zip(found.images, maps, strict=True):
        np.testing.assert_allclose(image.probability_map, probability_map, atol=1e-4)
    assert any(
        np.abs(one.probability_map - other.probability_map).max() > 0.01
        for one, other in zip(found.images, result.images, strict=True)
    )
    assert seen[-1] == (7, 7)


@pytest.mark.slow
def test_a_session_is_segmented_with_several_prompts(predictor, pictures, result):
    session = predictor.encode(pictures)
    assert (len(session), session.names[:2]) == (7, ("1", "2"))
    assert_same(session.segment(), result, atol=0)
    prompt = Prompt(1, point=(44.0, 60.0))
    assert_same(session.segment(prompt=prompt), predictor(pictures, prompt=prompt), atol=0)
    assert_same(session.segment(), result, atol=0)


def test_unreadable_images_are_left_out_where_the_caller_asks(predictor, pictures):
    told = []
    found = predictor(
        [pictures[0], b"text", pictures[1]], on_unreadable=lambda *each: told.append(each)
    )
    assert [image.name for image in found.images] == ["1", "3"]
    assert [(position, "2" in message) for position, message in told] == [(1, True)]
    with pytest.raises(UserError, match="none of the images can be read"):
        predictor([b"text"], on_unreadable=lambda *each: None)


def test_images_may_come_from_a_generator(predictor, pictures, result):
    assert_same(predictor(picture for picture in pictures), result, atol=0)


def test_no_decoded_image_outlives_the_call(predictor, tmp_path):
    Image.new("RGB", (640, 480), (200, 10, 10)).save(tmp_path / "red.png")
    opened = Image.open(tmp_path / "red.png")
    array = np.zeros((480, 640, 3), np.uint8)
    alive = weakref.ref(array)
    result = predictor([opened, array])
    del opened, array
    assert alive() is None
    assert result.images[0].image[0, 0].tolist() == [200, 10, 10]
    with pytest.raises(UserError, match="no longer exists"):
        _ = result.images[1].image


def test_probabilities_and_masks_have_the_images_own_size(result, pictures):
    for image, picture in zip(result.images, pictures, strict=True):
        assert image.probability.shape == image.mask.shape == picture.shape[:2]
        assert 0 <= image.probability.min() <= image.probability.max() <= 1
        np.testing.assert_array_equal(image.mask_at(0.3), image.probability > 0.3)


def test_an_image_without_the_object_has_an_empty_mask(result):
    absent = dataclasses.replace(
        result.images[0], presence=0.4, probability_map=np.full((4, 4), 0.6, "f4")
    )
    assert not absent.mask.any()
    assert absent.mask_at(0.3).all()


def test_images_may_come_in_any_form(predictor, pictures, result, tmp_path):
    picture = Image.fromarray(pictures[0])
    picture.save(tmp_path / "zebra.png")
    content = (tmp_path / "zebra.png").read_bytes()
    forms = [tmp_path / "zebra.png", str(tmp_path / "zebra.png"), content, picture, pictures[0]]
    found = [predictor([form, *pictures[1:]]).images[0] for form in forms]
    assert [image.name for image in found] == ["zebra", "zebra", "1", "1", "1"]
    for image in found:
        np.testing.assert_array_equal(image.probability_map, result.images[0].probability_map)
    assert predictor(pictures[:1], names=["mine"]).images[0].name == "mine"


def test_refined_edges_follow_the_image(predictor, pictures, result, monkeypatch):
    monkeypatch.setattr(predictor, "options", predictor.options._replace(refine="guided"))
    image = predictor(pictures).images[3]
    np.testing.assert_array_equal(image.image, pictures[3])
    np.testing.assert_array_equal(image.probability, refined(image.probability_map, pictures[3]))
    assert np.abs(image.probability - result.images[3].probability).max() > 0.01


def test_with_sam_the_prompted_image_shows_what_the_prompt_means(predictor, pictures, monkeypatch):
    class Sam:
        def __call__(self, probability_map, image):
            return np.zeros(image.shape[:2], np.float32)

        def prompted(self, prompts, probability_map, image):
            return np.full(image.shape[:2], prompts[0].point[0] / 10, np.float32)

    monkeypatch.setattr(predictor, "options", predictor.options._replace(refine="sam"))
    monkeypatch.setattr(predictor, "_refiners", {"sam": Sam()})
    images = predictor(pictures, prompt=Prompt(2, point=(9, 5))).images
    assert [image.mask.any() for image in images] == [False, False, True] + 4 * [False]
    assert images[2].probability[40, 40] == pytest.approx(0.9)
    assert images[2].probability[5, 9] == 1  # the point itself
    assert images[2].presence == 1


def test_missing_weights_of_sam_are_named_when_they_are_asked_for(tmp_path):
    path = tmp_path / "absent.pt"
    predictor = cosseg_jax.load(EXPORT, refine="sam", sam_weights=path)
    with pytest.raises(UserError, match=r"no file of SAM's weights at .*absent\.pt"):
        predictor.refiner()


def test_progress_ends_with_all_of_them(predictor, pictures):
    seen = []
    predictor(pictures, progress=lambda *counts: seen.append(counts))
    assert seen == sorted(seen)
    assert seen[-1] == (7, 7)


def test_with_mirrored_images_a_mirrored_group_has_mirrored_maps(pictures):
    config, variables = load_exported(EXPORT)
    with config.unlocked():
        config.prediction.mirror = True
    predictor = Predictor(config, variables)
    mirrored = predictor([np.ascontiguousarray(x[:, ::-1]) for x in pictures]).images
    for one, other in zip(predictor(pictures).images, mirrored, strict=True):
        np.testing.assert_allclose(
            one.probability_map, other.probability_map[:, ::-1], atol=0.02
        )  # of resizing


# Prompts


@pytest.mark.slow
def test_a_prompt_changes_the_whole_group(predictor, pictures, result):
    prompted = predictor(pictures, prompt=Prompt(6, point=(40, 30)))
    moved = [
        np.abs(one.probability_map - other.probability_map).max()
        for one, other in zip(prompted.images, result.images, strict=True)
    ]
    assert min(moved) > 1e-3
    again = cosseg_jax.load(EXPORT, chunk_size=2)(pictures, prompt=Prompt(6, point=(40, 30)))
    assert_same(again, prompted)


def test_a_box_and_its_mask_mean_the_same_for_the_other_images(predictor, pictures):
    """In their own image the pixels of the mask are certain, those of the box are not."""
    height, width = pictures[2].shape[:2]
    mask = np.zeros((height, width), bool)
    mask[10:50, 20:60] = True
    box = predictor(pictures, prompt=Prompt(2, box=(20, 10, 60, 50)))
    images = predictor(pictures, prompt=Prompt(2, mask=mask)).images
    for place, (one, other) in enumerate(zip(box.images, images, strict=True)):
        if place != 2:
            np.testing.assert_array_equal(one.probability_map, other.probability_map)
    assert images[2].mask[mask].all()
    assert not box.images[2].mask[mask].all()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(7, point=(1, 1)), "the prompt is for image 7; the group has images 0 to 6"),
        (Prompt(0, point=(80, 1)), "point 80,1 is outside the photo of 80 x 130"),
        (Prompt(0, box=(5, 5, 5, 9)), "box 5,5,5,9 holds no pixel of the photo of 80 x 130"),
        (Prompt(0, mask=np.ones((3, 4), bool)), "mask is 4 x 3, the photo 80 x 130"),
        (Prompt(0, mask=np.zeros((130, 80), bool)), "mask is empty"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(predictor, pictures, prompt, message):
    with pytest.raises(ValueError, match=message):
        predictor(pictures, prompt=prompt)


@pytest.mark.slow
def test_several_prompts_are_in_the_masks_of_their_images(predictor, pictures):
    """The marks hold at every threshold, at the network's size and at the image's own."""
    prompts = [
        Prompt(0, points=[(20, 20), (60, 100)], labels=[1, 0]),
        Prompt(3, point=(50, 60)),
        Prompt(3, points=[(20, 30)], labels=[0]),
        Prompt(5, absent=True),
    ]
    images = predictor(pictures, prompt=prompts).images
    for threshold in (0.02, 0.98):
        first, fourth, sixth = (images[n].mask_at(threshold) for n in (0, 3, 5))
        assert first[20, 20]
        assert not first[100, 60]
        assert fourth[60, 50]
        assert not fourth[30, 20]
        assert not sixth.any()
    assert (images[0].presence, images[3].presence, images[5].presence) == (1, 1, 0)
    assert images[5].probability_map.max() == 0
    again = cosseg_jax.load(EXPORT, chunk_size=2)(pictures, prompt=prompts)
    for one, other in zip(again.images, images, strict=True):
        np.testing.assert_allclose(one.probability_map, other.probability_map, atol=1e-3)


# Bad input


@pytest.mark.parametrize(
    ("photos", "options", "message"),
    [
        ([], {}, "photos is empty; give one photo or more"),
        ("a.jpg", {}, "photos is a single str, not a list"),
        ([b"text"], {}, "1 does not decode as an image"),
        ([Image.new("F", (4, 4))], {}, "1 has floating-point pixels"),
        ([np.zeros((4, 4, 3))], {}, r"1 is an array of float64 and shape \(4, 4, 3\); expected"),
        ([np.zeros((4, 4, 2), np.uint8)], {}, r"uint8 and shape \(4, 4, 2\); expected"),
        ([np.zeros((4, 4), np.uint8)], {"names": []}, "0 names for 1 images"),
    ],
)
def test_what_is_no_image_is_named(predictor, photos, options, message):
    with pytest.raises(ValueError, match=message):
        predictor(photos, **options)


@pytest.mark.parametrize(
    "photo", [Path("a.jpg"), b"...", Image.new("RGB", (4, 4)), np.zeros((4, 4, 3), np.uint8)]
)
def test_an_image_outside_a_list_is_refused(photo):
    with pytest.raises(ValueError, match=rf"a single {type(photo).__name__}, not a list; put it"):
        check_list(photo)


def test_heic_without_its_library_says_what_to_install(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "HEIC_LIBRARY", "no_such_library")
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ValueError, match=r"phone\.heic is a HEIC file; .* pip install pillow-heif"):
        predictor([tmp_path / "phone.heic"])


def test_a_path_that_leads_nowhere_is_named(predictor):
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg is no file"):
        predictor(["absent.jpg"])


def test_a_link_that_leads_nowhere_is_named(predictor, tmp_path):
    (tmp_path / "link.jpg").symlink_to("absent.jpg")
    with pytest.raises(FileNotFoundError, match=r"link\.jpg is a link that leads nowhere"):
        predictor([tmp_path / "link.jpg"])
