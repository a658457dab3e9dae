"""Users' sessions: apart from each other, bounded in number and memory, and dropped in time."""

import pytest
from PIL import Image
from web_client import Client, Clock, encoded, png, running

from cosseg_jax.errors import UserError
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.sessions import IMAGE_BYTES


def noise(side: int) -> bytes:
    return encoded(Image.effect_noise((side, side), 50), "PNG")


def test_a_session_knows_nothing_of_another(client):
    client.add(png())
    other = Client(client.port).begin()
    assert other.id != client.id
    assert other.own("GET", "").json["photos"] == []
    assert other.own("GET", "/photos/0").status == 404


def test_a_missing_session_is_reported_as_dropped(client):
    client.add(png())
    assert client.own("DELETE", "").status == 204
    answer = client.own("GET", "")
    assert answer.status == 404
    assert "no longer has this group" in answer.json["error"]


def test_an_unused_session_is_dropped_after_a_while(predictor):
    clock = Clock()
    with running(predictor, Limits(idle_s=100.0), clock=clock) as client:
        client.begin()
        clock.now = 99
        assert client.own("GET", "").status == 200
        clock.now = 198
        assert client.own("GET", "").status == 200
        clock.now = 299
        assert client.own("GET", "").status == 404


def test_a_session_is_dropped_soon_after_its_page_was_closed(predictor):
    clock = Clock()
    with running(predictor, Limits(left_s=15.0), clock=clock) as client:
        client.begin()
        assert client.own("POST", "/leave").status == 204
        clock.now = 16
        assert client.own("GET", "").status == 404


def test_a_session_whose_page_is_loaded_again_stays(predictor):
    clock = Clock()
    with running(predictor, Limits(left_s=15.0), clock=clock) as client:
        client.begin().own("POST", "/leave")
        clock.now = 10
        assert client.own("GET", "").status == 200
        clock.now = 40
        assert client.own("GET", "").status == 200


def test_the_job_of_a_closed_page_is_given_up(predictor):
    clock = Clock()
    with running(predictor, clock=clock) as client:
        client.begin().add(png())
        other = Client(client.port).begin()
        other.add(png())
        predictor.gate.clear()
        client.segment()
        client.until("working")
        other.segment()
        assert other.own("GET", "").json["job"]["ahead"] == 1
        client.own("POST", "/leave")
        clock.now = 16
        other.own("GET", "")  # drops the session that was left
        predictor.gate.set()
        other.until("done")


def test_sessions_are_bounded_and_an_unused_one_gives_way(predictor):
    clock = Clock()
    with running(predictor, Limits(sessions=2, spare_s=10.0), clock=clock) as first:
        first.begin().add(png())
        clock.now = 1
        second = Client(first.port).begin()
        second.add(png())
        answer = first.ask("POST", "/api/sessions")
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert answer.json["error"] == "The server is full; try again soon."
        clock.now = 11
        assert first.ask("POST", "/api/sessions").status == 201
        assert first.own("GET", "").status == 404
        assert second.own("GET", "").status == 200


def test_an_empty_session_gives_way_before_one_with_photos(predictor):
    clock = Clock()
    with running(predictor, Limits(sessions=2, left_s=5.0, spare_s=100.0), clock=clock) as full:
        full.begin().add(png())
        empty = Client(full.port).begin()
        clock.now = 6
        assert full.ask("POST", "/api/sessions").status == 201
        assert full.own("GET", "").status == 200
        assert empty.own("GET", "").status == 404


def test_many_users_have_a_session_each(predictor):
    with running(predictor) as client:
        users = [Client(client.port).begin() for _ in range(50)]
        assert [user.own("GET", "").status for user in users] == [200] * 50


def test_one_budget_of_memory_holds_for_all_users(predictor):
    clock, content = Clock(), noise(100)
    limits = Limits(server_bytes=2 * IMAGE_BYTES + 4 * len(content), spare_s=10.0)
    with running(predictor, limits, clock=clock) as first:
        second = Client(first.port).begin()
        assert [user.add(content).status for user in (first.begin(), second)] == [201, 201]
        answer = second.add(content, "two.png")
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        clock.now = 11
        assert second.add(content, "two.png").status == 201  # the unused first session gave way
        assert first.own("GET", "").status == 404


def test_a_failed_upload_is_not_counted(predictor):
    limits = Limits(server_bytes=IMAGE_BYTES)
    with running(predictor, limits) as client:
        client.begin()
        for _ in range(3):
            assert client.add(bytes(1_000_000)).status == 400
        assert client.add(png()).status == 201


@pytest.mark.parametrize("bad", [0.0, float("inf"), float("nan")])
def test_a_limit_has_to_be_positive_and_finite(bad):
    with pytest.raises(UserError, match=f"the limit idle_s is {bad}; it takes a positive number"):
        Limits(idle_s=bad)
