"""Images in any form that users give, and what is said of what is no image."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from made_images import GREY, encoded
from PIL import Image

from cosseg_jax.data.images import check_list, decode_image, read_image, reopenable
from cosseg_jax.errors import MissingFileError, UserError

RGB = np.stack([GREY] * 3, axis=-1)


def test_a_path_and_bytes_decode_alike(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(GREY))
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png"), RGB)
    np.testing.assert_array_equal(decode_image(encoded(GREY)), RGB)


def test_any_form_is_read_under_its_name(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(GREY))
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), encoded(GREY), Image.fromarray(GREY)]
    forms += [GREY, GREY[..., None], RGB, np.dstack([RGB, GREY])]
    found = [read_image(form, "7") for form in forms]
    assert [image.name for image in found] == ["a", "a"] + ["7"] * 6
    for image in found:
        np.testing.assert_array_equal(image.image, RGB)


@pytest.mark.parametrize("single", [Path("a.jpg"), "a", b"...", Image.new("L", (4, 4)), RGB])
def test_a_single_image_is_no_list(single):
    with pytest.raises(UserError, match=f"a single {type(single).__name__}, not a list; put it"):
        check_list(single)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "photos is empty; give one photo or more"),
        (np.zeros((0, 4, 4, 3), np.uint8), "photos is empty"),
        ({"a": RGB}, "photos is a dict; give a list of photos"),
    ],
)
def test_what_is_no_list_of_images(images, message):
    with pytest.raises(UserError, match=message):
        check_list(images)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.jpg", r"absent\.jpg is no file; give the path of a photo"),
        (".", r"\. is a folder; give the paths of the photos in it"),
        ("https://example.org/a.jpg", r"https://example\.org/a\.jpg is a URL; download the photo"),
        ("s3://bucket/a.jpg", "is a URL"),
        ("a\0.jpg", "is no file"),
    ],
)
def test_paths_that_lead_to_no_image(path, message):
    with pytest.raises(MissingFileError, match=message):
        read_image(path, "1")


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "link.jpg").symlink_to("absent.jpg")
    with pytest.raises(MissingFileError, match=r"link\.jpg is a link that leads nowhere"):
        read_image(tmp_path / "link.jpg", "1")


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3)), np.full((4, 4, 3), np.nan), np.zeros((4, 4, 2), np.uint8), RGB[:0]],
    ids=["float64", "NaN", "two channels", "empty"],
)
def test_arrays_that_are_no_images(array):
    with pytest.raises(UserError, match=r"7 is an array of .* expected uint8, 0\.\.255, of shape"):
        read_image(array, "7")


def test_objects_that_are_no_images():
    with pytest.raises(TypeError, match="7 is a list; give a path, a file's bytes, a PIL image or"):
        inspect.unwrap(read_image)([1, 2], "7")  # without the tests' own check of types


def test_a_closed_pil_image_says_what_to_do(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(GREY))
    with Image.open(tmp_path / "a.png") as closed:
        pass
    with pytest.raises(UserError, match="7 is a PIL image whose file was closed before it was"):
        read_image(closed, "7")


def test_a_pil_image_is_refused_as_a_file_is(tmp_path):
    """A camera raw file, of which Pillow opens the thumbnail."""
    (tmp_path / "a.tif").write_bytes(encoded(GREY, "TIFF", tiffinfo={254: 1}))
    with (
        Image.open(tmp_path / "a.tif") as opened,
        pytest.raises(UserError, match="7 begins with a thumbnail"),
    ):
        read_image(opened, "7")


def test_a_pil_image_is_left_as_it_was():
    source = Image.fromarray(GREY)
    source.getexif()[0x0112] = 6  # to be turned by a quarter
    turned = read_image(source, "1").image
    np.testing.assert_array_equal(turned[..., 0], np.rot90(GREY, -1))
    np.testing.assert_array_equal(np.asarray(source), GREY)


def test_paths_and_bytes_are_read_again(tmp_path, monkeypatch):
    content = encoded(GREY)
    (tmp_path / "a.png").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    kept = [reopenable("a.png", "a"), reopenable(content, "1")]
    monkeypatch.chdir("/")  # a relative path still leads to its file
    for image in kept:
        np.testing.assert_array_equal(image.read()[..., 0], GREY)


@pytest.mark.parametrize("make", [np.copy, Image.fromarray], ids=["array", "PIL"])
def test_an_image_in_memory_is_read_again_while_it_lives(make):
    source = make(GREY)
    kept = reopenable(source, "3")
    np.testing.assert_array_equal(kept.read()[..., 0], GREY)
    del source
    with pytest.raises(UserError, match=r"image 3 was given as an? .* that no longer exists; keep"):
        kept.read()


def test_the_images_of_one_array_live_as_long_as_it_does():
    stack = np.stack([GREY, 255 - GREY])
    kept = [reopenable(view[:, ::-1], str(number)) for number, view in enumerate(stack)]
    np.testing.assert_array_equal(kept[1].read()[..., 0], 255 - GREY[:, ::-1])
    del stack
    with pytest.raises(UserError, match="image 1 was given as an array that no longer exists"):
        kept[1].read()


def test_a_pil_image_that_is_gone_is_read_from_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(GREY))
    with Image.open(tmp_path / "a.png") as source:
        kept = reopenable(source, "1")
        source.load()
    del source
    assert kept.live() is None
    np.testing.assert_array_equal(kept.read()[..., 0], GREY)


def test_a_pil_image_resized_in_place_is_not_taken_for_its_file(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(GREY))
    with Image.open(tmp_path / "a.png") as source:
        source.thumbnail((1, 1))
    kept = reopenable(source, "1")
    assert kept.read().shape == (1, 1, 3)
    del source
    with pytest.raises(UserError, match="image 1 was given as a PIL image that no longer exists"):
        kept.read()
