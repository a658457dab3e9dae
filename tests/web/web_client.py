"""A running server with a client for it, and a predictor that knows its result."""

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
from cosseg_jax.data.images import read_image, reopenable
from cosseg_jax.predict.concept import Concept, LearntClass
from cosseg_jax.predict.result import GroupResult, ImageResult
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.server import create_app, listen, server_config
from cosseg_jax.web.uploads import read_upload

PATIENCE_S = 60.0


def discs() -> dict[str, bytes]:
    """PNG files by name that share a disc with a dot, which the tests' network has learned."""
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
    """Talks to a server as the page does; `id` is that of its own session."""

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
        """The state, once the job has reached one of some stages."""
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


class FakePredictor:
    """Finds the left half of every image, with `confidence`; records its calls.

    The probability is 0.8 on the left and 0.2 on the right. While `gate` is not set, segmenting
    waits. `encoded` holds the contents of each encoded group, `calls` names and prompts.
    """

    def __init__(self) -> None:
        self.encoded: list[list[bytes]] = []
        self.calls: list[dict] = []
        self.presence = 0.9
        self.categories = {"sheep": 0.75, "cow": 0.1}
        self.confidence: float | None = 0.87654
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, images: Sequence[bytes], *, names, progress) -> "FakeSession":
        self.encoded.append(list(images))
        progress(len(images), len(images))
        return FakeSession(self, images, names)


class FakeSession(NamedTuple):
    """An encoded group of a FakePredictor."""

    predictor: FakePredictor
    images: Sequence[bytes]
    names: Sequence[str]

    def segment(self, *, prompt, progress) -> GroupResult:
        told = self.predictor
        told.calls.append(dict(names=self.names, prompts=prompt))
        for done in range(len(self.images)):
            progress(done, len(self.images))
            told.gate.wait(PATIENCE_S)
        if told.error is not None:
            raise told.error
        results = [self._result(*each) for each in zip(self.images, self.names, strict=True)]
        return GroupResult(tuple(results), told.categories, told.confidence)

    def learn(self, name: str, *, prompt) -> Concept:
        self.predictor.calls.append(dict(names=self.names, prompts=prompt))
        shapes = [(4,), (4,), (), (3,), (1, 3), (1, 3), (), (0,), (0,)]
        return Concept({name: LearntClass(*(np.zeros(s, np.float32) for s in shapes))}, "fake")

    def _result(self, content: bytes, name: str) -> ImageResult:
        probability = np.full((4, 4), 0.8, np.float32)
        probability[:, 2:] = 0.2
        height, width = read_image(content, name).image.shape[:2]
        return ImageResult(
            name,
            height,
            width,
            probability,
            prior=np.zeros((2, 2), np.float32),
            presence=self.predictor.presence,
            refine=None,
            source=reopenable(content, name),
        )


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return float(self.now)


@contextlib.contextmanager
def running(
    predictor: Any, limits: Limits | None = None, decode: Any = read_upload, **options: Any
) -> Iterator[Client]:
    """A server at a free port, for as long as the context lasts; it decodes in its own process."""
    with contextlib.closing(listen("127.0.0.1", 0)) as listening:
        app = create_app(predictor, limits or Limits(), decode, **options)
        server = uvicorn.Server(server_config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Client(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


def png(width: int = 40, height: int = 30, colour: tuple = (200, 100, 50)) -> bytes:
    return encoded(Image.new("RGB", (width, height), colour))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, format=format, **options)
    return content.getvalue()
