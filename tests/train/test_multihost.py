"""Two real processes train together: they stop at the same step, and only the first one writes."""

import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest
from toy_runs import one_device

from cosseg_jax.train import multihost
from cosseg_jax.train.logging import METRICS_FILE

ROOT = Path(__file__).parents[2]
SCRIPT = f"""
import sys, zlib; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
import jax, toy_runs, train
from cosseg_jax.train import multihost
address, index, workdir, steps = sys.argv[1:]
toy_runs.add_toy_backbone()
multihost.join(address, 2, int(index))
config = toy_runs.tiny_config()
config.steps, config.eval_every = int(steps), 10_000
result = train.train_and_evaluate(config, Path(workdir))
checksum = 0
for leaf in jax.tree.leaves(result.state):
    checksum = zlib.crc32(leaf.tobytes(), checksum)
print("ended", int(result.state.step), checksum, result.best is None)
multihost.wait_for_all("the end")
"""


def free_port() -> int:
    """A free port below those that systems give to outgoing connections, which come and go."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("localhost", port))
            return port
    raise OSError("no free port")


def start_two(workdir: Path, steps: int) -> list[subprocess.Popen]:
    address = f"localhost:{free_port()}"
    return [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, address, str(index), str(workdir), str(steps)],
            env=one_device(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in (0, 1)
    ]


def endings(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Step, checksum of the state and whether it was stopped, of each process."""
    found = []
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
        (line,) = [line for line in output.splitlines() if line.startswith("ended")]
        _, step, checksum, stopped = line.split()
        found.append((int(step), checksum, stopped))
    return found


def test_processes_connect_when_they_join(monkeypatch):
    """Later, one may be minutes behind, and gloo waits 30 s for the first operation of a peer."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *given: calls.append(given))
    monkeypatch.setattr(multihost, "wait_for_all", calls.append)
    multihost.join("host:1", 2, 1)
    assert calls == [("host:1", 2, 1), "joined"]
    multihost.join(None, None, None)
    assert len(calls) == 2


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_step(tmp_path):
    processes = start_two(tmp_path, steps=100_000)
    metrics, deadline = tmp_path / METRICS_FILE, time.time() + 600
    # Its first line says that both have made steps, and so have set their handlers.
    while not (metrics.exists() and metrics.stat().st_size) and time.time() < deadline:
        assert processes[0].poll() is None, processes[0].communicate()[0]
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    first, second = endings(processes)
    assert first == second
    step, _, stopped = first
    assert (step % 2, stopped) == (0, "True")  # they ask each other every log_every steps
    assert (tmp_path / "checkpoints" / str(step)).is_dir()

    first, second = endings(start_two(tmp_path, steps=step + 2))
    assert first == second
    assert (first[0], first[2]) == (step + 2, "False")
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines if line["split"] == "val"] == [step + 2]
    assert [line["step"] for line in lines if line["split"] == "train"] == list(
        range(2, step + 3, 2)
    )
