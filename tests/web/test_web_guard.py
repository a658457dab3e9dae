"""Requests that other web sites may cause are refused."""

import pytest

from cosseg_jax.web.guard import is_ours, refusal


@pytest.mark.parametrize("name", ["localhost:{}", "127.0.0.1:{}", "[::1]:{}"])
def test_the_loopback_names_are_ours(client, name):
    assert client.ask("GET", "/", headers={"Host": name.format(client.port)}).status == 200


def test_a_name_that_leads_here_is_refused(client):
    answer = client.ask("GET", "/", headers={"Host": f"evil.example:{client.port}"})
    assert answer.status == 403
    assert "open it by the address that it printed" in answer.json["error"]


def test_another_site_may_not_post(client):
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.ask("POST", "/api/sessions", headers=headers)
        assert answer.status == 403
        assert answer.json["error"] == "the request comes from another site"


def test_the_page_itself_may(client):
    own = f"127.0.0.1:{client.port}"
    headers = {"Host": own, "Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}
    assert client.ask("POST", "/api/sessions", headers=headers).status == 201


def test_a_link_of_another_site_may_lead_to_the_page():
    headers = {"host": "localhost:1", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert refusal("GET", headers, "127.0.0.1") is None
    assert refusal("POST", headers, "127.0.0.1") is not None


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
def test_hosts_of_a_server_that_is_open_to_the_network(name, host, expected):
    assert is_ours(name, host) is expected


def test_every_answer_forbids_what_lies_outside(client):
    for path in ("/", "/api/sessions/none", "/static/page.css"):
        headers = client.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
