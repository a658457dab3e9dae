"""Files made to hurt harm neither the server nor other users."""

import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from web_client import Client, FakePredictor, encoded, png, running

from cosseg_jax.errors import UserError
from cosseg_jax.web import decoding
from cosseg_jax.web.limits import Limits


def many_scans(count: int, side: int = 512) -> bytes:
    """A small progressive JPEG file whose last scan is repeated `count` times."""
    whole = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    scan, end = whole[last:-2], whole[-2:]
    return whole[:last] + count * scan + end


def png_of_size(width: int, height: int) -> bytes:
    """A small PNG file that states a large size and decodes to black."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    compressor, rows = zlib.compressobj(9), bytearray()
    for _ in range(height):
        rows += compressor.compress(bytes(1 + width // 8 + 1))
    rows += compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", bytes(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_process_reads_what_the_function_reads(pool):
    content = png(40, 30)
    upload = pool(content, "folder/a.png", Limits())
    assert upload[:4] == ("a.png", content, 40, 30)
    with Image.open(io.BytesIO(upload.preview)) as preview:
        assert (preview.format, preview.size) == ("JPEG", (40, 30))


def test_a_bad_file_is_named_and_the_process_goes_on(pool):
    with pytest.raises(UserError, match=r"^bad\.png does not decode"):
        pool(b"hello", "bad.png", Limits())
    assert pool(png(), "good.png", Limits()).width == 40


def test_a_progressive_jpeg_of_5000_scans_is_refused_without_decoding(pool):
    with pytest.raises(UserError, match=r"^slow\.jpg is a JPEG file of .* scans"):
        pool(many_scans(5000), "slow.jpg", Limits())


@pytest.mark.slow
def test_a_file_that_takes_too_long_is_ended(pool):
    with pytest.raises(UserError, match=r"^slow\.jpg takes longer than 0\.2 s to decode"):
        pool(many_scans(90, 6000), "slow.jpg", Limits(decode_s=0.2))
    assert pool(png(), "next.png", Limits()).width == 40


def test_178_megapixels_in_a_small_file_are_refused_before_they_are_decoded(pool):
    content = png_of_size(13_300, 13_300)
    assert len(content) < 50_000
    with pytest.raises(UserError, match=r"^bomb\.png has 13300 x 13300 pixels, more than 60 mill"):
        pool(content, "bomb.png", Limits())


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_memory_for_decoding_is_limited():
    code = (
        "from cosseg_jax.web import decoding; from cosseg_jax.web.limits import Limits\n"
        "decoding.SPARE_BYTES = 50_000_000; decoding.PIXEL_BYTES = 0\n"
        "decoding._limit_resources(Limits())\n"
        "bytes(300_000_000)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "MemoryError" in ended.stderr


@pytest.mark.slow
def test_a_process_that_crashes_is_replaced(pool):
    pool(png(), "first.png", Limits())
    for process in pool._all:
        if process._process is not None:
            os.kill(process._process.pid, 9)
    with pytest.raises(UserError, match=r"^a\.png cannot be decoded"):
        pool(png(), "a.png", Limits())
    assert pool(png(), "b.png", Limits()).width == 40


@pytest.mark.slow
def test_after_files_that_decode_slowly_others_are_read(pool):
    with running(FakePredictor(), Limits(decode_s=1.0), pool) as client:
        users = [Client(client.port).begin() for _ in range(5)]
        with ThreadPoolExecutor(5) as threads:
            added = [threads.submit(user.add, many_scans(80, 7500)) for user in users[:4]]
            added.append(threads.submit(users[4].add, png()))
    *slow, quick = [each.result() for each in added]
    assert all("takes longer than 1 s" in answer.json["error"] for answer in slow)
    assert quick.status == 201


def test_a_fault_in_the_process_is_a_fault_of_the_server(pool, monkeypatch):
    answer = ({"fault": "Traceback: KeyError"}, b"")
    monkeypatch.setattr(decoding, "_asked", lambda *_: answer)
    with pytest.raises(RuntimeError, match="Traceback: KeyError"):
        pool(png(), "a.png", Limits())
