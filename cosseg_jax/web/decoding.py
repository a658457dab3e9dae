"""Decodes uploaded files in processes of their own, which are ended when a file takes too long.

A file from anybody may be made to occupy a decoder for minutes, to fill the memory, or to crash a
library. In a process of its own it harms no other user. A file that passes is decoded again later,
in the server's process, with the same effort.

The child says that it is ready, once it is. Then the parent sends a line of JSON (name, size,
limits) and the file, and the child answers with a line of JSON (width, height and size of the
preview, or an error) and the preview.
"""

import contextlib
import dataclasses
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # on Windows
    resource = None

from cosseg_jax.errors import UserError, message_of
from cosseg_jax.web.limits import Limits
from cosseg_jax.web.uploads import Upload, read_upload, shown_name

PROCESSES = 2
PIXEL_BYTES = 48  # memory that decoding takes for each pixel, at most; 28 were measured (WebP)
SPARE_BYTES = 1_000_000_000
PATIENCE = 5  # times the limit on processor time, by the clock, for a machine that is busy
READY = b"ready\n"
CPU_LIMIT = getattr(signal, "SIGXCPU", 0)  # ends a process that exceeds its limit
SAVE_AGAIN = "save it again with an image editor, as an ordinary JPEG or PNG"


class DecodingPool:
    """Processes that decode uploads, one upload at a time each; further callers wait.

    It may be called from several threads.
    """

    def __init__(self) -> None:
        self._all = [_DecodingProcess() for _ in range(PROCESSES)]
        self._free: queue.LifoQueue[_DecodingProcess] = queue.LifoQueue()
        for process in self._all:
            self._free.put(process)

    def __call__(self, content: bytes, name: str, limits: Limits) -> Upload:
        """As `uploads.read_upload`; also raises UserError when decoding takes too much."""
        process = self._free.get()
        try:
            return process.read_upload(content, name, limits)
        finally:
            self._free.put(process)

    def start(self) -> None:
        """Starts the processes now, so that the first upload does not wait for it."""
        for process in self._all:
            process.start()

    def close(self) -> None:
        """Ends the processes."""
        for process in self._all:
            process.end()


class _DecodingProcess:
    """A process that is started when it is first needed, and again after it had to be ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
            )
            self._is_ready = False
        return self._process

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def read_upload(self, content: bytes, name: str, limits: Limits) -> Upload:
        process = self._ready()
        late = threading.Event()
        timer = threading.Timer(PATIENCE * limits.decode_s, lambda: (late.set(), process.kill()))
        timer.start()
        try:
            answer, preview = _asked(process, content, name, limits)
        except (OSError, ValueError) as error:  # it was ended, or a library crashed
            self._restart()
            is_late = late.is_set() or process.returncode == -CPU_LIMIT
            what = f"takes longer than {limits.decode_s:g} s to decode"
            what = what if is_late else "cannot be decoded"
            raise UserError(f"{shown_name(name)} {what}; {SAVE_AGAIN}") from error
        finally:
            timer.cancel()
        if late.is_set():
            self._restart()
        if "fault" in answer:
            raise RuntimeError(answer["fault"])
        if "error" in answer:
            raise UserError(answer["error"])
        return Upload(shown_name(name), content, answer["width"], answer["height"], preview)

    def _ready(self) -> subprocess.Popen[bytes]:
        """The process, which has started; its start does not count as decoding."""
        process = self.start()
        assert process.stdout is not None
        if not self._is_ready and process.stdout.readline() != READY:
            self.end()
            raise RuntimeError("the process that decodes uploads did not start")
        self._is_ready = True
        return process

    def _restart(self) -> None:
        self.end()
        self.start()


def _asked(
    process: subprocess.Popen[bytes], content: bytes, name: str, limits: Limits
) -> tuple[dict[str, Any], bytes]:
    """A child's answer and preview. Raises OSError or ValueError where it ended before."""
    assert process.stdin is not None
    assert process.stdout is not None
    request = dict(name=name, size=len(content), limits=dataclasses.asdict(limits))
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.write(content)
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    preview = process.stdout.read(answer.get("preview", 0))
    if len(preview) != answer.get("preview", 0):
        raise ValueError("the answer breaks off")
    return answer, preview


def answer_requests() -> None:
    """The child process: answers requests until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries may print
    answers.write(READY)
    answers.flush()
    while line := sys.stdin.buffer.readline():
        answer, preview = _answered(json.loads(line), sys.stdin.buffer)
        with contextlib.suppress(BrokenPipeError):
            answers.write(json.dumps(answer).encode() + b"\n" + preview)
            answers.flush()


def _answered(request: dict[str, Any], source: BinaryIO) -> tuple[dict[str, Any], bytes]:
    content, limits = source.read(request["size"]), Limits(**request["limits"])
    _limit_resources(limits)
    try:
        upload = read_upload(content, request["name"], limits)
    except UserError as error:
        return dict(error=message_of(error)), b""
    except MemoryError:
        name = shown_name(request["name"])
        return dict(error=f"{name} takes too much memory to decode; {SAVE_AGAIN}"), b""
    except Exception:
        return dict(fault=traceback.format_exc()), b""
    size = dict(width=upload.width, height=upload.height, preview=len(upload.preview))
    return size, upload.preview


def _limit_resources(limits: Limits) -> None:
    """Limits the time and memory that this process may take from now on, where systems can."""
    if resource is None:
        return
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, math.ceil(time.process_time() + limits.decode_s))
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        used = pages * resource.getpagesize()
        _limit(resource.RLIMIT_DATA, used + SPARE_BYTES + PIXEL_BYTES * limits.pixels)


def _limit(kind: int, most: int) -> None:
    assert resource is not None
    _, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY or most <= hard:
        resource.setrlimit(kind, (most, hard))


if __name__ == "__main__":
    answer_requests()
