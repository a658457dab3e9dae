"""Runs the benchmarks of speed that this machine can, and checks what is promised of them.

    python -m benchmarks [--gpu] [--only eigen convolutions] [--out benchmarks.json]

Each benchmark runs in a process of its own, one after the other. Their ratios are printed with the
spread over repetitions and, with --out, written as JSON together with the machine. The exit code is
1 if a benchmark fails or a ratio is below what is promised. --gpu adds those that need a GPU.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.ratio import Ratio, read_ratios

ROOT = Path(__file__).parents[1]


class Benchmark(NamedTuple):
    """A program of this folder that writes ratios, with its arguments.

    needs_gpu: whether it says something only on a GPU.
    program: its name, if the benchmark has another.
    """

    arguments: tuple[str, ...] = ()
    needs_gpu: bool = False
    program: str = ""


BENCHMARKS = {
    "eigen": Benchmark(("--sizes", "49", "245", "980", "--kinds", "noise", "clustered")),
    "convolutions": Benchmark(),
    "latency": Benchmark(),
    "input_pipeline": Benchmark(),
    "training": Benchmark(),
    "training_gpu": Benchmark(("--gpu",), needs_gpu=True, program="training"),
}


def run(name: str, benchmark: Benchmark) -> list[Ratio] | None:
    """The ratios that a benchmark writes; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ratios.json"
        line = [
            sys.executable,
            "-m",
            f"benchmarks.{benchmark.program or name}",
            *benchmark.arguments,
        ]
        done = subprocess.run([*line, "--json", str(file)], cwd=ROOT)
        return read_ratios(file) if done.returncode == 0 and file.exists() else None


def machine() -> dict[str, str | int | None]:
    """What the times depend on."""
    import jax  # here: the benchmarks' own processes take the GPU

    return dict(
        processor=platform.processor() or platform.machine(),
        cores=os.cpu_count(),
        system=platform.platform(),
        python=platform.python_version(),
        jax=jax.__version__,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="also those that need a GPU")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, help="default: all")
    parser.add_argument("--out", type=Path, help="JSON file for the ratios")
    options = parser.parse_args()
    chosen = options.only or [n for n, b in BENCHMARKS.items() if options.gpu or not b.needs_gpu]
    started, found = time.monotonic(), dict[str, list[Ratio] | None]()
    for name in chosen:
        print(f"== {name}", flush=True)
        found[name] = run(name, BENCHMARKS[name])
    failed = [name for name, ratios in found.items() if ratios is None]
    broken = [ratio for ratios in found.values() for ratio in ratios or () if not ratio.holds]
    print(f"== {(time.monotonic() - started) / 60:.1f} minutes")
    for name in failed:
        print(f"{name} failed")
    for ratio in broken:
        print(ratio)
    if options.out:
        listed = {
            name: [ratio._asdict() for ratio in ratios or ()] for name, ratios in found.items()
        }
        content = {"machine": machine(), "failed": failed, "ratios": listed}
        options.out.write_text(json.dumps(content, indent=1) + "\n")
    return 1 if failed or broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
