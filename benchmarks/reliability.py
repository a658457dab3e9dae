"""Reproduces the figures of docs/reliability.md: changed inputs, kills, and the page under load.

    python benchmarks/reliability.py            as the aim is: on two idle cores, some hours
    python benchmarks/reliability.py --quick    a hundredth of it

Runs fuzz.py, kills.py and web_load.py in turn, with the same seeds each time, and ends with status
1 if one of them found a fault. What they do is in their docstrings.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
PROGRAMS = {  # with their arguments for the aim, and for --quick
    "fuzz.py": (["--total", "100000"], ["--total", "1000"]),
    "kills.py": (["--kills", "50"], ["--kills", "5"]),
    "web_load.py": (["--users", "50", "--seconds", "3600"], ["--users", "5", "--seconds", "36"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Reproduces the figures of docs/reliability.md.")
    parser.add_argument("--quick", action="store_true", help="a hundredth of it")
    quick = parser.parse_args().quick
    failed = []
    for program, arguments in PROGRAMS.items():
        line = [sys.executable, str(FOLDER / program), *arguments[quick]]
        print(f"== {program} {' '.join(arguments[quick])}", flush=True)
        started = time.monotonic()
        if subprocess.run(line).returncode:
            failed.append(program)
        print(f"== {program}: {(time.monotonic() - started) / 60:.0f} minutes", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "no fault was found")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
