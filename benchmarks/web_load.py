"""The page's server under load: many users at once, some of whom behave badly.

    python benchmarks/web_load.py --users 50 --seconds 120

The server runs in a process of its own, with a predictor that finds the bright pixels and takes
0.1 seconds for a group. Each user repeatedly opens a session, uploads photos that nobody else has,
segments them, sets a prompt, leaves a photo out, and downloads the zip file, which must hold
exactly the user's own photos. A share of the users closes the page without telling the server,
which then holds the session until it expires or makes room. At the same time others hold idle
connections, upload slowly, break off uploads, and send files that are not images. Only 127.0.0.1
is used.

It prints how many groups were served, how long each took, how often a user was told that the
server is busy, how many zip files were right and wrong, and the server's memory at each sixth of
the time. It ends with status 1 if a zip file was wrong or a user was not served.
"""

import argparse
import contextlib
import http.client
import io
import json
import random
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

PHOTOS = 4
SIDES = (200, 500)  # of the photos, in pixels
COMPUTING_S = 0.1
SOON_S = 120.0  # in which a group has to be served


class BrightPixels:
    """A predictor whose object is what is brighter than half."""

    def encode(self, images: Sequence[bytes], *, names, progress) -> "Group":
        progress(len(images), len(images))
        return Group(images, names)


class Group(NamedTuple):
    """An encoded group."""

    images: Sequence[bytes]
    names: Sequence[str]

    def segment(self, *, prompt, progress) -> Any:
        from cosseg_jax.data.images import read_image, reopenable
        from cosseg_jax.predict.result import GroupResult, ImageResult

        time.sleep(COMPUTING_S)
        results = []
        for content, name in zip(self.images, self.names, strict=True):
            image = read_image(content, name).image
            bright = (image.mean(axis=2) > 127).astype(np.float32)
            small = np.asarray(Image.fromarray(bright).resize((384, 384), Image.Resampling.BOX))
            source, prior = reopenable(content, name), np.zeros((12, 12), np.float32)
            height, width = image.shape[:2]
            results.append(
                ImageResult(
                    name,
                    height,
                    width,
                    probability_map=small,
                    prior=prior,
                    presence=0.9,
                    refine=None,
                    source=source,
                )
            )
            progress(len(results), len(self.images))
        return GroupResult(tuple(results), {})


def serve() -> None:
    """The server's process: prints its port and serves until it is ended."""
    import uvicorn

    from cosseg_jax.web.decoding import DecodingPool
    from cosseg_jax.web.limits import Limits
    from cosseg_jax.web.server import create_app, listen, server_config

    listening, decode = listen("127.0.0.1", 0), DecodingPool()
    decode.start()
    app = create_app(BrightPixels(), Limits(), decode)
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(server_config(app)).run(sockets=[listening])
    decode.close()


class Tally:
    """What happened, counted by all threads."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, what: str, seconds: float | None = None) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1
            if seconds is not None:
                self.seconds.append(seconds)


class User:
    """A well-behaved user, with photos of a colour of its own."""

    def __init__(self, number: int, port: int, tally: Tally, end: float, silent: float):
        self._silent = silent  # how often it closes the page without telling the server
        self._random = np.random.default_rng(number)
        self._name, self._port, self._tally, self._end = f"user{number}", port, tally, end

    def run(self) -> None:
        while time.monotonic() < self._end:
            began = time.monotonic()
            try:
                self._use_the_page()
                self._tally.count("groups served", time.monotonic() - began)
            except Exception as error:
                self._tally.count(f"failed: {type(error).__name__}: {str(error)[:100]}")
            time.sleep(self._random.uniform(0, 1))

    def _use_the_page(self) -> None:
        own = f"/api/sessions/{self._asked('POST', '/api/sessions')['id']}"
        photos = {f"{self._name}_{k}": self._photo() for k in range(PHOTOS)}
        for name, (encoded, _) in photos.items():
            self._asked("POST", f"{own}/photos?name={name}.png", encoded)
        self._segmented(own, {"left_out": []})
        self._segmented(own, {"left_out": [], "prompts": [{"photo": 0, "points": [[9, 9]]}]})
        version = self._segmented(own, {"left_out": [1]})
        with zipfile.ZipFile(io.BytesIO(self._sent("GET", f"{own}/archive/{version}"))) as file:
            self._check(file, photos)
        if self._random.uniform() >= self._silent:
            self._sent("POST", f"{own}/leave")

    def _photo(self) -> tuple[bytes, np.ndarray]:
        """An encoded photo, and its pixels: a bright rectangle of a random colour on black."""
        height, width = self._random.integers(*SIDES, 2)
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[height // 4 : height // 2, width // 4 :] = self._random.integers(200, 256, 3)
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG", compress_level=1)
        return encoded.getvalue(), pixels

    def _segmented(self, own: str, request: dict) -> int:
        version = self._asked("POST", f"{own}/segment", json.dumps(request).encode())["job"][
            "version"
        ]
        end = time.monotonic() + SOON_S
        while (job := (state := self._asked("GET", own))["job"])["stage"] != "done":
            if job["stage"] == "failed" or time.monotonic() > end:
                raise RuntimeError(f"the job is {job}")
            time.sleep(min(0.3 * (1 + job["ahead"]), 3))
        assert state["result"]["version"] == version
        return version

    def _check(self, file: zipfile.ZipFile, photos: dict) -> None:
        """The zip file holds this user's photos, but for the one that was left out."""
        left = [name for k, name in enumerate(photos) if k != 1]
        files = [f"{folder}/{name}.png" for name in left for folder in ("masks", "cutouts")]
        right = sorted(file.namelist()) == sorted([*files, "group.json"])
        for name in left if right else ():
            expected = photos[name][1]
            cutout = np.asarray(Image.open(io.BytesIO(file.read(f"cutouts/{name}.png"))))
            inside = (cutout[..., 3] == 255) & (expected.max(axis=2) > 0)
            right &= cutout.shape[:2] == expected.shape[:2]
            right &= bool(inside.any() and (cutout[inside, :3] == expected[inside]).all())
        self._tally.count("zip files right" if right else "zip files WRONG")

    def _asked(self, method: str, path: str, body: bytes | None = None) -> Any:
        return json.loads(self._sent(method, path, body))

    def _sent(self, method: str, path: str, body: bytes | None = None) -> bytes:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SOON_S)
            with contextlib.closing(connection):
                connection.request(method, path, body)
                answer = connection.getresponse()
                content = answer.read()
            if answer.status == 503:
                self._tally.count("told that the server is busy")
                time.sleep(float(answer.headers["Retry-After"]))
            elif answer.status >= 400:
                raise RuntimeError(f"{answer.status}: {content[:200]!r}")
            else:
                return content


def misbehave(port: int, tally: Tally, end: float) -> None:
    """Idle connections, slow and broken uploads, and files that are no images."""
    chance = random.Random(port)
    while time.monotonic() < end:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            id = json.loads(_posted(port, "/api/sessions"))["id"]
            path = f"/api/sessions/{id}/photos?name=x.png"
            _posted(port, path, chance.randbytes(10_000))
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            header = (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9999999\r\n\r\n"
            )
            slow.sendall(header.encode())
            for _ in range(chance.randrange(30)):
                slow.sendall(bytes(100))
                time.sleep(1)
        tally.count("rounds of misbehaviour")


def _posted(port: int, path: str, body: bytes = b"") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("POST", path, body)
        return connection.getresponse().read()


def memory_mb(pid: int) -> float:
    """The resident memory of a process and of its children, in megabytes (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(
        int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in (pid, *children)
    )
    return pages * 4096 / 1e6


def quick_requests(port: int, count: int) -> str:
    """Asks for the page many times in a row."""
    began = time.monotonic()
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            assert connection.getresponse().status == 200
    return f"{count} quick requests: {time.monotonic() - began:.1f} s"


@contextlib.contextmanager
def server() -> Iterator[tuple[int, int]]:
    """A server in another process: its process id and port."""
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="The page's server under load.")
    parser.add_argument("--users", type=int, default=50, help="at once")
    parser.add_argument("--bad-users", type=int, default=5, help="who behave badly, beside them")
    parser.add_argument("--silent", type=float, default=0.1, help="share of pages closed silently")
    parser.add_argument("--seconds", type=float, default=120, help="until no new group is begun")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    tally = Tally()
    with server() as (pid, port):
        print(quick_requests(port, 1000))
        end = time.monotonic() + options.seconds
        users = [
            User(number, port, tally, end, options.silent).run for number in range(options.users)
        ]
        bad = [lambda: misbehave(port, tally, end)] * options.bad_users
        threads = [threading.Thread(target=each) for each in (*users, *bad)]
        for thread in threads:
            thread.start()
        memory = []
        for _ in range(6):
            time.sleep(options.seconds / 6)
            memory.append(f"{memory_mb(pid):.0f}")
        for thread in threads:
            thread.join()
    print(f"memory in MB: {', '.join(memory)}")
    for what, count in sorted(tally.counts.items()):
        print(f"{what}: {count}")
    if tally.seconds:
        middle, most = np.median(tally.seconds), max(tally.seconds)
        print(f"seconds for a group: median {middle:.1f}, longest {most:.1f}")
    raise SystemExit(any(what.startswith(("failed", "zip files WRONG")) for what in tally.counts))


if __name__ == "__main__":
    main()
