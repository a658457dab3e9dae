"""What the page's server refuses, and what it says then."""

import pytest
from PIL import Image
from web_client import Clock, encoded, png, running

from cosseg_jax.data import images
from cosseg_jax.web.limits import Limits


def test_photographs_beyond_the_most_are_refused(told):
    with running(told, Limits(photos=1)) as client:
        client.begin().add(png())
        answer = client.add(png(), "two.png")
        assert answer.status == 400
        assert answer.json["error"] == ("two.png was not added: a group has 1 photographs at most")


def test_a_file_with_too_many_bytes_is_refused(told):
    with running(told, Limits(file_bytes=1_000_000)) as client:
        answer = client.begin().add(bytes(1_000_001), "big.png")
        assert answer.status == 413
        assert answer.json["error"].startswith("big.png is larger than 1 MB")


def test_a_file_that_does_not_say_its_size_is_counted(told):
    with running(told, Limits(file_bytes=1000)) as client:
        client.begin()
        parts = iter([bytes(600), bytes(600)])
        headers = {"Transfer-Encoding": "chunked"}
        path = f"/api/sessions/{client.id}/photos?name=big.png"
        assert client.ask("POST", path, parts, headers).status == 413


def test_files_that_are_too_large_together_are_refused(told):
    content = png()
    with running(told, Limits(session_bytes=int(1.5 * len(content)))) as client:
        assert client.begin().add(content).status == 201
        answer = client.add(content, "two.png")
        assert answer.status == 400
        assert "two.png was not added: the photographs of a group may" in answer.json["error"]


def test_a_photograph_with_too_many_pixels_is_refused_before_it_is_decoded(told, monkeypatch):
    monkeypatch.setattr("cosseg_jax.web.uploads.read_photograph", None)
    with running(told, Limits(pixels=1000)) as client:
        answer = client.begin().add(png(40, 30), "wide.png")
        assert answer.status == 400
        assert answer.json["error"].startswith("wide.png has 40 x 30 pixels, more than 0.001")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no photograph"),
        (b"hello", "is no photograph"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "is no photograph"),
        (encoded(Image.effect_noise((64, 64), 50))[:2000], "does not decode"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "is a HEIC file; export it as JPEG, or pip install"),
    ],
    ids=["empty", "text", "PostScript", "truncated", "HEIC"],
)
def test_a_bad_file_is_named_and_the_rest_goes_on(client, content, says, monkeypatch):
    monkeypatch.setattr(images, "LIBRARY", "no_such_library")
    client.add(png(), "one.png")
    answer = client.add(content, "bad.jpg")
    assert answer.status == 400
    assert answer.json["error"].startswith(f"bad.jpg {says}")
    client.add(png(), "two.png")
    assert client.segmented()["result"]["numbers"] == [0, 1]


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
        ("..png", "photograph"),
        ("a%3Ab%00.png", "a_b_"),
        ("na%C3%AFve.png", "naïve"),
        (f"{'x' * 200}.png", "x" * 80),
    ],
)
def test_names_are_fit_for_files(client, given, kept):
    assert client.add(png(), given).json["name"] == kept


def test_no_two_names_are_alike(client):
    names = [client.add(png(), name).json["name"] for name in ("a.png", "A.jpg", "a.png")]
    assert names == ["a", "A (2)", "a (3)"]


def test_a_session_knows_nothing_of_another(client):
    client.add(png())
    other = type(client)(client.port).begin()
    assert other.id != client.id
    assert other.own("GET", "").json["photos"] == []
    assert other.own("GET", "/photos/0").status == 404


def test_a_session_that_is_not_there_is_said_to_be_dropped(client):
    client.add(png())
    assert client.own("DELETE", "").status == 204
    answer = client.own("GET", "")
    assert answer.status == 404
    assert "no longer has this group" in answer.json["error"]


def test_an_unused_session_is_dropped_after_a_while(told):
    clock = Clock()
    with running(told, Limits(idle_s=100.0), clock=clock) as client:
        client.begin()
        clock.now = 99
        assert client.own("GET", "").status == 200
        clock.now = 198
        assert client.own("GET", "").status == 200
        clock.now = 299
        assert client.own("GET", "").status == 404


def test_sessions_are_bounded_and_the_one_unused_for_longest_gives_way(told):
    clock = Clock()
    with running(told, Limits(sessions=2, spare_s=10.0), clock=clock) as first:
        first.begin()
        clock.now = 1
        second = type(first)(first.port).begin()
        answer = first.ask("POST", "/api/sessions")
        assert answer.status == 503
        assert answer.json["error"] == "All 2 places are in use; try again in a few minutes."
        clock.now = 11
        assert first.ask("POST", "/api/sessions").status == 201
        assert first.own("GET", "").status == 404
        assert second.own("GET", "").status == 200


def test_a_limit_has_to_be_positive():
    with pytest.raises(ValueError, match="the limit photos is 0; it takes a positive number"):
        Limits(photos=0)
