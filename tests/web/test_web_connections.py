"""Idle, slow and broken connections keep nobody out."""

import contextlib
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from web_client import Client, encoded, png, running

from cosseg_jax.web import connections
from cosseg_jax.web.limits import Limits

CHECK_S = 0.2
HEADER = "POST /api/sessions/{}/photos?name=a.png HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n"


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Connections are looked at so often that the tests are short."""
    monkeypatch.setattr(connections, "CHECK_S", CHECK_S)


def connected(client: Client, sent: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=30)
    connection.sendall(sent)
    return connection


def upload_header(client: Client, size: int) -> bytes:
    header = HEADER.format(client.id, client.port)
    return f"{header}Content-Length: {size}\r\n\r\n".encode()


def send_slowly(connection: socket.socket, content: bytes, size: int) -> None:
    for start in range(0, len(content), size):
        connection.sendall(content[start : start + size])
        time.sleep(CHECK_S / 2)


def is_closed(connection: socket.socket) -> bool:
    """Waits until the server closes the connection without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextlib.contextmanager
def idle(client: Client, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connected(client)) for _ in range(count)]


@pytest.mark.parametrize("count", [70, 300])
def test_idle_connections_keep_nobody_out(client, count):
    with idle(client, count):
        assert client.add(png()).status == 201
        assert client.ask("GET", "/").status == 200


def test_the_oldest_idle_connection_makes_room(client, monkeypatch):
    monkeypatch.setattr(connections, "MOST", 3)
    with idle(client, 3) as held:
        assert client.own("GET", "").status == 200
        assert is_closed(held[0])
        held[2].sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n\r\n".encode())
        assert held[2].recv(12) == b"HTTP/1.1 200"


def test_an_address_with_too_many_requests_is_told_that_the_server_is_busy(client, monkeypatch):
    monkeypatch.setattr(connections, "MOST_OF_ADDRESS", 2)
    with connected(client, upload_header(client, 100)), connected(client, b"") as second:
        other = Client(client.port)
        second.sendall(upload_header(client, 100))
        time.sleep(0.2)
        answer = other.ask("GET", "/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert answer.json["error"] == "Too many connections; try again in a few seconds."


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local"], ids=["nothing", "half"])
def test_a_connection_without_a_whole_header_is_closed(client, impatient, sent):
    with connected(client, sent) as connection:
        assert is_closed(connection)


def test_a_header_that_arrives_byte_by_byte_is_not_awaited(client, impatient):
    connection = connected(client, b"GET / HTTP/1.1\r\n")
    with connection, pytest.raises((BrokenPipeError, ConnectionResetError)):
        send_slowly(connection, 1000 * b"a", size=1)


def test_a_stalled_upload_is_ended_and_holds_up_nobody(client, impatient):
    other = Client(client.port).begin()
    with connected(client, upload_header(client, 100_000) + bytes(1000)) as connection:
        assert other.add(png()).status == 201
        assert is_closed(connection)
    assert client.add(png()).status == 201


def test_a_slow_upload_that_goes_on_is_taken(client, impatient, monkeypatch):
    monkeypatch.setattr(connections, "LEAST_BYTES", 10)
    content = png()
    with connected(client, upload_header(client, len(content))) as connection:
        send_slowly(connection, content, size=10)
        assert connection.recv(12) == b"HTTP/1.1 201"


def test_an_upload_has_a_time_limit(predictor):
    with running(predictor, Limits(upload_s=0.3)) as client:
        client.begin()
        with connected(client, upload_header(client, 100) + bytes(10)) as connection:
            assert connection.recv(12) == b"HTTP/1.1 408"


def test_an_upload_that_breaks_off_leaves_nothing(client):
    connected(client, upload_header(client, 100_000) + bytes(50_000)).close()
    assert client.add(png()).json["number"] == 0


@pytest.mark.slow
def test_a_client_that_does_not_read_its_zip_is_disconnected(client, impatient):
    """A session sends one zip file at a time, so the second request waits for that."""
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000, 3), np.uint8)
    client.add(encoded(Image.fromarray(noise)))
    version = client.segmented()["result"]["version"]
    path = f"/api/sessions/{client.id}/archive/{version}"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\n\r\n".encode()
    with connected(client) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(request)
        stalled.recv(12)
        assert client.own("GET", f"/archive/{version}").status == 200
