"""Kills training, saving and exporting at random moments and checks that nothing is lost.

    python benchmarks/kills.py [--kills 20] [--seed 0] [--workdir DIR]

Each run is train.py with a tiny network on the built-in data. It is killed (SIGKILL) and started
again with the same command, until all kills are done; then it runs to its end. An uninterrupted run
of as many steps has to have the same states, metrics and export, bit for bit.

    training    up to 3 s after the first metrics of the restarted process
    saving      up to 50 ms after the start of one of its first five checkpoints
    exporting   up to 50 ms after the start of the export
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

OVERRIDES = [
    "image_size=32",
    "group_size=2",
    "model.features=8",
    "model.semantic.reduced=4",
    "eval_groups=4",
    "preview_groups=0",
    "log_every=5",
    "checkpoint_every=5",
    "eval_every=20",
    "test_split=",
]
ENDLESS = 1_000_000  # steps; no killed run gets there
FURTHER = 20  # steps after the last kill
PATIENCE_S = 900  # until a started process has to reach the moment of its kill


def command(workdir: Path, steps: int, export: Path | None = None) -> list[str]:
    config = str(ROOT / "configs" / "quickstart.py")
    line = [sys.executable, str(ROOT / "train.py"), "--config", config, "--workdir", str(workdir)]
    line += [f"--config.{override}" for override in [*OVERRIDES, f"steps={steps}"]]
    return line + (["--export", str(export)] if export else [])


def finish(line: list[str]) -> str:
    """Runs a command to its end; returns what it printed."""
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def kill_when(line: list[str], reached: Callable[[], bool], delay_s: float) -> None:
    """Starts a command and kills it `delay_s` after a condition holds."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.time() + PATIENCE_S
    while not reached():
        if process.poll() is not None or time.time() > deadline:
            process.kill()
            raise SystemExit(f"the moment was not reached:\n{process.communicate()[0]}")
        time.sleep(0.002)
    time.sleep(delay_s)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_in_training(workdir: Path, rng: random.Random) -> None:
    metrics = workdir / "metrics.jsonl"
    started = time.time()

    def written_to() -> bool:
        return size_of(metrics) > 0 and metrics.stat().st_mtime > started + 1

    kill_when(command(workdir, ENDLESS), written_to, rng.uniform(0, 3))


def kill_in_saving(workdir: Path, rng: random.Random) -> None:
    before = {p.name for p in (workdir / "checkpoints").glob("*")}
    seen, wanted = set[str](), rng.randint(1, 5)

    def begun() -> bool:
        seen.update(p.name for p in (workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"))
        return len(seen - before) >= wanted

    kill_when(command(workdir, ENDLESS), begun, rng.uniform(0, 0.05))


def kill_in_export(workdir: Path, export: Path, steps: int, rng: random.Random) -> None:
    unfinished, started = export.with_name(f".{export.name}.unfinished"), time.time()

    def begun() -> bool:
        return unfinished.exists() and unfinished.stat().st_mtime > started

    kill_when(command(workdir, steps, export), begun, rng.uniform(0, 0.05))


def same_folder(one: Path, other: Path, what: str) -> None:
    """Ends the program unless both hold the same arrays, as Orbax reads them."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as reader:
        left, right = (jax.tree.leaves(reader.restore(path.absolute())) for path in (one, other))
    equal = len(left) == len(right) and all(map(np.array_equal, left, right))
    if not equal:
        raise SystemExit(f"{what} differs from that of the uninterrupted run")
    print(f"{what}: {len(left)} arrays, equal bit for bit")


def latest_step(workdir: Path) -> int:
    steps = [int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit()]
    return max(steps, default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Kills training at random moments.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workdir", type=Path, help="a new folder; default: a temporary one")
    options = parser.parse_args()
    folder = options.workdir or Path(tempfile.mkdtemp(prefix="kills-"))
    rng = random.Random(options.seed)
    killed, export = folder / "killed", folder / "export"
    in_export = max(1, options.kills // 5)
    for number in range(options.kills - in_export):
        act, name = [(kill_in_training, "training"), (kill_in_saving, "saving")][number % 2]
        act(killed, rng)
        print(f"kill {number + 1} in {name}: step {latest_step(killed)} is saved", flush=True)
    steps = latest_step(killed) + FURTHER
    finish(command(killed, steps))
    for number in range(options.kills - in_export, options.kills):
        kill_in_export(killed, export, steps, rng)
        print(f"kill {number + 1} in exporting", flush=True)
    finish(command(killed, steps, export))
    again = finish(command(killed, steps, export))
    if "already holds this network" not in again:
        raise SystemExit(f"the finished command, called again, printed:\n{again}")

    whole, other = folder / "whole", folder / "export_of_whole"
    finish(command(whole, steps, other))
    for step in sorted(p.name for p in (killed / "checkpoints").iterdir()):
        states = [run / "checkpoints" / step / "state" for run in (killed, whole)]
        same_folder(states[0], states[1], f"step {step}")
    same_folder(export / "variables", other / "variables", "the export")
    one, two = ((run / "metrics.jsonl").read_text() for run in (killed, whole))
    if one != two:
        raise SystemExit("metrics.jsonl differs from that of the uninterrupted run")
    left = [str(p) for p in folder.rglob("*") if "unfinished" in p.name or "tmp" in p.name]
    if left:
        raise SystemExit(f"half-written files are left: {left}")
    print(f"{options.kills} kills, {steps} steps: equal metrics, nothing half-written is left")


if __name__ == "__main__":
    main()
