"""What users ask for, for fuzz.py: command lines, prompts, requests to the page's server.


Each kind makes valid inputs once, in its folder. It returns the function that makes and reads one
changed input, drawn from the given Random, and raises what reading raises.
"""

import contextlib
import io
import json
import logging
import math
import random
import select
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_images import saved
from fuzz_mutations import Attempt, changed_bytes, changed_json, changed_text, encoded_json
from PIL import Image

from cosseg_jax.errors import UserError


def options(folder: Path) -> Attempt:
    """Command lines of `cosseg`; those that are valid are not run."""
    from cosseg_jax.cli.main import make_parser

    lines = (
        "segment a b --out c --kinds masks,json --threshold 0.4 --chunk 3",
        "segment a --out c --prompt a --point 3,4 --refine guided --groups",
        "segment a --out c --prompt a --box 1,2,3,4 --checkpoint d --json",
        "show a --out s.png --prompt a --mask m.png",
        "app --host 127.0.0.1 --port 0 --max-megabytes 30 --allow-host example.org",
        "export --out x.onnx --format onnx --checkpoint d",
        "info --checkpoint d",
    )

    def attempt(rng: random.Random) -> None:
        words = rng.choice(lines).split()
        for _ in range(rng.choice((1, 1, 2, 3))):
            place = rng.randrange(len(words))
            words[place : place + rng.choice((0, 1))] = [changed_text(words[place], rng)]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            try:
                make_parser().parse_args(words)
            except SystemExit as end:
                if end.code not in (0, 2):
                    raise RuntimeError(f"exit code {end.code}") from end

    return attempt


def prompts(folder: Path) -> Attempt:
    """Prompts of Python, of a file and of the page, with numbers and JSON of all kinds."""
    from cosseg_jax.cli.prompts import read_prompts
    from cosseg_jax.data.prompts import Prompt, region
    from cosseg_jax.web.prompts import number_of, segment_request, threshold_of
    from cosseg_jax.web.uploads import Upload

    photos = [Upload("a", b"", 40, 30, b""), Upload("b", b"", 7, 90, b"")]
    shown = [
        {"photo": 0, "points": [[3, 4.5], [6, 7]], "labels": [1, 0]},
        {"photo": 1, "box": [0, 1, 6, 70]},
        {"photo": 1, "absent": True},
    ]
    named = [*({**prompt, "photo": "a.png"} for prompt in shown), {"photo": "b", "mask": "m.png"}]
    found = {"version": 1, "threshold": 0.5}
    shown += [{"photo": 0, "found": found}, {"photo": 1, "found": found, "wrong": True}]
    numbers = (0, 1, 39.5, -1, 1e308, math.nan, math.inf, -math.inf, 10**400, 2**63, 29)
    file = folder / "prompts.json"

    def attempt(rng: random.Random) -> None:
        number_of(changed_text("12", rng))
        request = {"left_out": [1], "prompts": rng.sample(shown, rng.randrange(4))}
        file.write_bytes(encoded_json(changed_json(named, rng), rng))
        with contextlib.suppress(UserError):
            threshold_of(changed_text("0.5", rng))
        with contextlib.suppress(UserError):
            body = encoded_json(changed_json(request, rng), rng)
            segment_request(body, photos, lambda *_: np.eye(30, 40, dtype=bool))
        with contextlib.suppress(UserError, OSError):
            read_prompts(file)
        drawn = tuple(rng.choice(numbers) for _ in range(4))
        prompt = Prompt(0, point=drawn[:2]) if rng.random() < 0.5 else Prompt(0, box=drawn)
        region(prompt, 30, 40)

    return attempt


def requests(folder: Path) -> Attempt:
    """Requests to the page's server, changed as bytes and as JSON, over connections."""
    from web_load import BrightPixels

    server = Server(BrightPixels())

    def attempt(rng: random.Random) -> None:
        server.check_answer(_changed_request(server.new_session(), rng))

    return attempt


def _changed_request(id: str, rng: random.Random) -> bytes:
    """The bytes of a request: of the page's own, changed in its parts or as a whole."""
    png = saved(Image.new("RGB", (8, 6), "red"), "PNG")
    pointed = {"photo": 0, "points": [[1, 2]], "labels": [1]}
    found = {"photo": 0, "found": {"version": 1, "threshold": 0.5}, "wrong": True}
    asked = {"left_out": [], "prompts": [pointed, found]}
    body = json.dumps(asked).encode()
    own = f"/api/sessions/{id}"
    method, path, content = rng.choice(
        (
            ("GET", "/", b""),
            ("GET", "/static/app.js", b""),
            ("GET", "/v1/openapi.json", b""),
            ("GET", "/examples/animals.png", b""),
            ("POST", "/api/sessions", b""),
            ("GET", own, b""),
            ("DELETE", own, b""),
            ("POST", f"{own}/leave", b""),
            ("POST", f"{own}/photos?name=a.png", png),
            ("GET", f"{own}/photos/0", b""),
            ("POST", f"{own}/segment", body),
            ("GET", f"{own}/maps/1", b""),
            ("GET", f"{own}/archive/1?threshold=0.5", b""),
        )
    )
    if rng.random() < 0.3:
        path = changed_text(path, rng)
    if content and rng.random() < 0.5:
        changed = encoded_json(changed_json(asked, rng), rng)
        content = changed if content is body else changed_bytes(content, rng)
    host = rng.choice(("127.0.0.1", "127.0.0.1", "localhost", "[::1]", "evil.example", "[bad"))
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(content)}"]
    for _ in range(rng.choice((0, 0, 1, 2))):
        name = rng.choice(
            (
                "Origin",
                "Content-Length",
                "Sec-Fetch-Site",
                "Expect",
                "Cookie",
                "Transfer-Encoding",
                "Range",
                "If-Modified-Since",
                "Upgrade",
            )
        )
        lines.append(f"{name}: {changed_text('http://127.0.0.1', rng)[:9000]}")
    head = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n"
    whole = head + content
    return changed_bytes(whole, rng) if rng.random() < 0.4 else whole


class Server:
    """The page's server in this process.

    patience_s: how long an answer may take before the client says that it sends no more; a request
        to /v1 is given up then.
    """

    def __init__(self, predictor: Any, patience_s: float = 0.0) -> None:
        import uvicorn

        from cosseg_jax.web.limits import Limits
        from cosseg_jax.web.server import create_app, listen, server_config
        from cosseg_jax.web.uploads import read_upload

        self._patience_s, self.faults = patience_s, list[str]()
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: self.faults.append(logging.Formatter().format(record))
        listening = listen("127.0.0.1", 0)
        self._port = listening.getsockname()[1]
        app = create_app(predictor, Limits(left_s=0.1, spare_s=0.1), read_upload)
        server = uvicorn.Server(server_config(app, log_level="error"))
        for name in ("cosseg_jax.web", "uvicorn.error"):
            logging.getLogger(name).addHandler(handler)
        threading.Thread(target=server.run, args=([listening],), daemon=True).start()

    def new_session(self) -> str:
        """The id of a session with a photo in it."""
        answer = self._sent(
            b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        return json.loads(answer.partition(b"\r\n\r\n")[2])["id"]

    def check_answer(self, request: bytes) -> None:
        answer = self._sent(request)
        if b" 500 " in answer[:20] or self.faults:
            faults, self.faults = "\n".join(self.faults), []
            raise RuntimeError(f"{request[:2000]!r}\n{answer[:300]!r}\n{faults}")

    def _sent(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            answer = b""
            if not select.select([connection], [], [], self._patience_s)[0]:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65536):
                    answer += part
        return answer
