"""Requests that other web sites may cause are refused."""

import pytest
from web_client import FakePredictor, running

from cosseg_jax.errors import UserError
from cosseg_jax.web.guard import checked_host_name, is_own_name, refusal

OTHER_SITE = "the request comes from another site"


@pytest.mark.parametrize("name", ["localhost:{}", "127.0.0.1:{}", "[::1]:{}"])
def test_the_loopback_names_are_served(client, name):
    assert client.ask("GET", "/", headers={"Host": name.format(client.port)}).status == 200


def test_a_foreign_name_that_leads_here_is_refused(client):
    answer = client.ask("GET", "/", headers={"Host": f"evil.example:{client.port}"})
    assert answer.status == 403
    assert "open the address that it printed" in answer.json["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[bad"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_another_site_may_not_post(client, headers):
    answer = client.ask("POST", "/api/sessions", headers=headers)
    assert (answer.status, answer.json["error"]) == (403, OTHER_SITE)


@pytest.mark.parametrize("host", ["[bad", "", "a" * 5000, "127.0.0.1@evil.example"])
def test_a_host_that_is_no_host_is_refused(client, host):
    answer = client.ask("GET", "/", headers={"Host": host})
    assert answer.status == 403
    assert len(answer.json["error"]) < 300


def test_the_page_itself_may_post(client):
    own = f"127.0.0.1:{client.port}"
    headers = {"Host": own, "Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}
    assert client.ask("POST", "/api/sessions", headers=headers).status == 201


def test_a_link_of_another_site_may_lead_to_the_page():
    headers = {"host": "localhost:1", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert refusal("GET", headers, "127.0.0.1") is None
    assert refusal("POST", headers, "127.0.0.1") == OTHER_SITE


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("192.168.1.7", "0.0.0.0", True),
        ("192.168.1.7", "127.0.0.1", False),
        ("evil.example", "0.0.0.0", False),
        ("my.example", "my.example", True),
        ("", "0.0.0.0", False),
    ],
)
def test_host_names_of_a_server_that_is_open_to_the_network(name, host, expected):
    assert is_own_name(name, host) is expected


ALLOWED = ("photos.example.org",)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "photos.example.org"},
        {"host": "Photos.Example.org:8443"},
        {"host": "photos.example.org", "origin": "https://photos.example.org"},
        {"host": "127.0.0.1:8765", "origin": "https://photos.example.org"},
    ],
    ids=str,
)
def test_a_host_name_that_is_allowed_is_served(headers):
    """Behind a proxy, which keeps the Host header or sets its own."""
    assert refusal("POST", headers, "127.0.0.1", ALLOWED) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "photos.example.org.evil.example"},
        {"host": "photos.example.org", "origin": "https://evil.example"},
        {"host": "127.0.0.1:8765", "origin": "https://evil.example"},
        {"host": "photos.example.org", "sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
def test_with_an_allowed_name_all_others_are_still_refused(headers):
    assert refusal("POST", headers, "127.0.0.1", ALLOWED) is not None


def test_the_server_takes_allowed_names():
    with running(FakePredictor(), allow_hosts=["Photos.Example.org"]) as client:
        assert client.ask("GET", "/", headers={"Host": "photos.example.org"}).status == 200
        assert client.ask("GET", "/", headers={"Host": "other.example.org"}).status == 403


@pytest.mark.parametrize(
    "bad", ["", "http://a.example", "a.example:80", "a.example/", "[bad", "*:"]
)
def test_an_allowed_name_has_to_be_a_host_name(bad):
    with pytest.raises(UserError, match="--allow-host takes a host name"):
        checked_host_name(bad)


def test_every_answer_forbids_what_lies_outside(client):
    for path in ("/", "/api/sessions/none", "/static/page.css"):
        headers = client.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
