"""A running server with a client for it, and a network that is told what to find."""

import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from PIL import Image

from cosseg_jax.data.builders.shapes import Shapes
from cosseg_jax.predict.predictor import GroupResult, ImageResult
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.server import create_app, pool

PATIENCE_S = 60.0


def discs() -> dict[str, bytes]:
    """PNG files by name that share a disc with a dot, which the network of the tests knows."""
    drawn = Shapes("unseen", size=320)
    members = drawn.members[drawn.categories.index("disc-dot")][:5]
    files = {}
    for number, member in enumerate(members, start=1):
        encoded = io.BytesIO()
        Image.fromarray(drawn[int(member)].image).save(encoded, format="PNG")
        files[f"disc-dot-{number}.png"] = encoded.getvalue()
    return files


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Speaks to a server as the page does; `id` is of its own session."""

    def __init__(self, port: int):
        self.port = port
        self.id = ""

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: dict | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            headers = headers or {}
            chunked = "Transfer-Encoding" in headers
            connection.request(method, path, body, headers, encode_chunked=chunked)
            response = connection.getresponse()
            given = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, given, response.read())

    def begin(self) -> "Client":
        self.id = self.ask("POST", "/api/sessions").json["id"]
        return self

    def own(self, method: str, path: str, body: bytes | None = None) -> Answer:
        return self.ask(method, f"/api/sessions/{self.id}{path}", body)

    def add(self, content: bytes, name: str = "photo.png") -> Answer:
        return self.own("POST", f"/photos?name={name}", content)

    def segment(self, **asked: Any) -> Answer:
        return self.own("POST", "/segment", json.dumps(asked).encode())

    def until(self, *stages: str) -> dict:
        """The state, once the job is at one of some stages."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            state = self.own("GET", "").json
            if state["job"]["stage"] in stages:
                return state
            time.sleep(0.02)
        raise AssertionError(f"the job is {state['job']}, not {stages}")

    def segmented(self, **asked: Any) -> dict:
        assert self.segment(**asked).status == 202
        return self.until("done")


class Told:
    """A predictor that finds the left half of every photograph; keeps what it was called with.

    The probability is 0.8 on the left and 0.2 on the right. While `gate` is not set, it waits.
    """

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.presence = 0.9
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, photos: Sequence[Image.Image], *, names, prompt, progress) -> GroupResult:
        self.calls.append(dict(names=names, prompt=prompt))
        for done in range(len(photos)):
            progress(done, len(photos))
            self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        side = np.full((4, 4), 0.8, np.float32)
        side[:, 2:] = 0.2
        prior = np.zeros((2, 2), np.float32)
        found = [
            ImageResult(
                name, b"", photo.height, photo.width, side, prior, self.presence, refine=False
            )
            for name, photo in zip(names, photos, strict=True)
        ]
        return GroupResult(tuple(found), {"sheep": 0.75, "cow": 0.1})


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def running(predict: Any, limits: Limits | None = None, **options: Any) -> Iterator[Client]:
    """A server at a free port, for as long as the context lasts."""
    with contextlib.closing(pool("127.0.0.1", 0)) as listening:
        app = create_app(predict, limits or Limits(), **options)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Client(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def png(width: int = 40, height: int = 30, colour: tuple = (200, 100, 50)) -> bytes:
    return encoded(Image.new("RGB", (width, height), colour))


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, format=format, **options)
    return content.getvalue()
