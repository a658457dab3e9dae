"""What the server takes as a photo, how it is named, and what the user is told otherwise."""

import pytest
from PIL import Image
from web_client import encoded, png, running

from cosseg_jax.data import opening
from cosseg_jax.errors import UserError
from cosseg_jax.files import name_key
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.uploads import read_upload


def test_photos_beyond_the_maximum_number_are_refused(predictor):
    with running(predictor, Limits(photos=1)) as client:
        client.begin().add(png())
        answer = client.add(png(), "two.png")
        assert answer.status == 400
        assert answer.json["error"] == "two.png was not added: a group has 1 photo at most"


@pytest.mark.slow
def test_an_example_that_does_not_fit_is_refused_as_a_whole(predictor):
    with running(predictor, Limits(photos=5)) as client:
        client.begin().add(png())
        answer = client.own("POST", "/examples/car")
        assert answer.status == 400
        assert len(client.own("GET", "").json["photos"]) == 1


def test_a_file_with_too_many_bytes_is_refused(predictor):
    with running(predictor, Limits(file_bytes=1_000_000)) as client:
        answer = client.begin().add(bytes(1_000_001), "big.png")
        assert answer.status == 413
        assert answer.json["error"].startswith("big.png is larger than 1 MB")


def test_a_file_that_does_not_state_its_size_is_counted(predictor):
    with running(predictor, Limits(file_bytes=1000)) as client:
        client.begin()
        parts = iter([bytes(600), bytes(600)])
        headers = {"Transfer-Encoding": "chunked"}
        path = f"/api/sessions/{client.id}/photos?name=big.png"
        assert client.ask("POST", path, parts, headers).status == 413


def test_files_that_are_too_large_together_are_refused(predictor):
    content = png()
    with running(predictor, Limits(session_bytes=int(1.5 * len(content)))) as client:
        assert client.begin().add(content).status == 201
        answer = client.add(content, "two.png")
        assert answer.status == 400
        assert "two.png was not added: the photos of a group may" in answer.json["error"]


def test_a_photo_with_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr("cosseg_jax.web.uploads.read_image", None)
    with pytest.raises(UserError, match=r"^wide\.png has 40 x 30 pixels, more than 0\.001 mill"):
        read_upload(png(40, 30), "wide.png", Limits(pixels=1000))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "does not decode"),
        (b"hello", "does not decode"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "does not decode"),
        (encoded(Image.effect_noise((64, 64), 50))[:2000], "does not decode"),
    ],
    ids=["empty", "text", "PostScript", "truncated"],
)
def test_a_bad_file_is_named_and_the_rest_goes_on(client, content, says):
    client.add(png(), "one.png")
    answer = client.add(content, "bad.jpg")
    assert answer.status == 400
    assert answer.json["error"].startswith(f"bad.jpg {says}")
    client.add(png(), "two.png")
    assert client.segmented()["result"]["numbers"] == [0, 1]


def test_without_its_library_heic_is_named(monkeypatch):
    monkeypatch.setattr(opening, "register_heic", lambda: False)
    content = b"\0\0\0\x18ftypheic" + bytes(20)
    with pytest.raises(UserError, match=r"^phone\.heic is a HEIC file"):
        read_upload(content, "phone.heic", Limits())


def test_heic_is_read_where_its_library_is(client):
    pytest.importorskip("pillow_heif").register_heif_opener()
    answer = client.add(encoded(Image.new("RGB", (40, 30)), "HEIF"), "phone.heic")
    assert answer.json == {"number": 0, "name": "phone", "width": 40, "height": 30}
    assert b'.heic,.heif"' in client.ask("GET", "/").content
    assert client.segmented()["result"]["numbers"] == [0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a/b/c.tar.png", "c.tar"),
        ("..%5C..%5Cevil.png", "evil"),
        ("..png", "unnamed"),
        ("a%3Ab%00.png", "a_b_"),
        ("na%C3%AFve.png", "naïve"),
        ("CON.png", "_CON"),
        ("", "unnamed"),
    ],
)
def test_names_are_fit_for_files_on_any_system(client, given, kept):
    assert client.add(png(), given).json["name"] == kept


@pytest.mark.parametrize(
    "given",
    [["a.png", "A.jpg", "a.png"], ["na%C3%AFve.png", "nai%CC%88ve.png"], ["x.png", "x_2.png", "x"]],
    ids=["case", "Unicode form", "suffix"],
)
def test_no_two_names_are_one_file_on_any_system(client, given):
    names = [client.add(png(), name).json["name"] for name in given]
    assert len({name_key(name) for name in names}) == len(given)


def test_a_very_long_name_is_cut_in_messages(client):
    answer = client.add(b"hello", f"{'x' * 5000}.png")
    assert answer.status == 400
    assert len(answer.json["error"]) < 400
