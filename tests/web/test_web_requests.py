"""Requests that no page sends are answered with one line, and faults with an id."""

import json

import pytest
from web_client import png

DEEP = b'{"left_out": ' + 20_000 * b"[" + 20_000 * b"]" + b"}"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (DEEP, 400),
        (b"[" * 50_000, 400),
        (b'{"prompts": [{"photo": 0, "points": [[' + 400 * b"9" + b", 1]]}]}", 400),
        (b'{"prompts": [{"photo": 0, "points": [[' + 5000 * b"9" + b", 1]]}]}", 400),
        (b'{"prompts": [{"photo": ' + 400 * b"9" + b', "points": [[1, 1]]}]}', 400),
        (b'{"prompts": [{"photo": 0, "points": [[1e999, -1e999]]}]}', 400),
        (b'{"left_out": [' + 5000 * b"9" + b"]}", 400),
        (b'{"left_out": {"0": 1}}', 400),
        (b'{"left_out": null}', 400),
        (b"\xff\xfe{}", 400),
        (b"[]", 400),
        (b" " * 100_001, 413),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_request_that_is_not_understood_gets_one_line(client, caplog, body, status):
    client.add(png())
    answer = client.own("POST", "/segment", body)
    assert answer.status == status
    assert "\n" not in answer.json["error"]
    assert len(answer.json["error"]) < 200
    assert not caplog.records


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/photos/" + 5000 * "9", 404),
        ("GET", "/photos/%D9%A3", 404),  # a digit, but not of ASCII
        ("GET", "/photos/-1", 404),
        ("GET", "/maps/" + 5000 * "9", 409),
        ("GET", "/archive/" + 5000 * "9", 409),
        ("POST", "/examples/" + 5000 * "x", 400),
        ("PUT", "/photos", 405),
        ("GET", "/nothing", 404),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_address_that_leads_nowhere_gets_one_line(client, caplog, method, path, status):
    client.add(png())
    answer = client.own(method, path)
    assert answer.status == status
    assert len(answer.json["error"]) < 200
    assert not caplog.records


@pytest.mark.parametrize(
    "path",
    ["/static/%00", "/static/" + "x" * 5000, "/static/../server.py", "/static/%2e%2e/api.py"],
)
def test_only_the_files_of_the_page_are_served(client, caplog, path):
    assert client.ask("GET", path).status == 404
    assert not caplog.records


def test_a_session_with_a_very_long_id_does_not_exist(client):
    assert client.ask("GET", "/api/sessions/" + 5000 * "9").status == 404


def test_a_fault_is_answered_with_the_id_that_the_log_has(client, caplog, monkeypatch):
    monkeypatch.setattr("cosseg_jax.web.api.segment_request", lambda *_: {}["missing"])
    client.add(png())
    answer = client.segment()
    (logged,) = caplog.records
    id = logged.getMessage().removeprefix("internal error ")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/json")
    assert answer.json["error"].startswith(f"Internal error {id}.")
    assert "KeyError: 'missing'" in caplog.text
    assert "missing" not in json.dumps(answer.json)
