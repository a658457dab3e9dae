"""Reads many changed inputs of every kind, and checks that each is read or refused in one line.

    python benchmarks/fuzz.py [--total 100000] [--seed 0] [--kinds images,coco]
    python benchmarks/fuzz.py --kinds images --first 1234 --total 1   one input

Valid inputs are changed at random: bits, bytes, lengths, parts of other files, JSON values and
texts (fuzz_mutations.py). The kinds, and what reads them, are in KINDS. An input is drawn from the
seed, its kind and its number alone.

It is a fault if reading one raises anything but a `UserError` or an `OSError` that names a path,
takes more than 10 s of processor time or 60 s by the clock, takes more than 3 GB of memory, or ends
the process. Each kind is read in
a process of its own, which is started again after a fault that ended it. The program prints a line
a kind, and each fault; it ends with status 1 if there was one.
"""

import argparse
import collections
import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz_data_sets import coco, few_shot, prepared, trees, voc
from fuzz_forms import forms
from fuzz_heads import heads, released
from fuzz_images import bombs, images, masks, uploads
from fuzz_mutations import Attempt
from fuzz_networks import checkpoints, concepts, config_fields, exports, weights
from fuzz_requests import options, prompts, requests
from fuzz_runs import annotations, records, watched

KINDS: dict[str, tuple[Callable[[Path], Attempt], int]] = {  # with their shares of all inputs
    "images": (images, 220),
    "masks": (masks, 120),
    "uploads": (uploads, 60),
    "bombs": (bombs, 2),
    "coco": (coco, 120),
    "voc": (voc, 60),
    "trees": (trees, 60),
    "prepared": (prepared, 20),
    "config_fields": (config_fields, 60),
    "exports": (exports, 20),
    "concepts": (concepts, 20),
    "checkpoints": (checkpoints, 20),
    "weights": (weights, 60),
    "options": (options, 40),
    "prompts": (prompts, 60),
    "requests": (requests, 58),
    "forms": (forms, 60),
    "annotations": (annotations, 40),
    "records": (records, 60),
    "watched": (watched, 20),
    "few_shot": (few_shot, 60),
    "heads": (heads, 60),
    "released": (released, 4),
}
LONGEST_CPU_S, LONGEST_S = 10.0, 60.0
MOST_BYTES = 3_000_000_000  # of memory for one input
MOST_SHOWN = 5  # faults of a kind that are printed whole


def work(kind: str, seed: int, first: int, count: int) -> None:
    """The process of a kind: a line of JSON for each fault, and one at the end."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries may print
    warnings.simplefilter("ignore")
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (4 * MOST_BYTES, 4 * MOST_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COSSEG_CACHE_DIR"] = f"{folder}/cache"
        (Path(folder) / "files").mkdir()
        attempt = KINDS[kind][0](Path(folder) / "files")
        outcome = {"read": 0, "refused": 0, "cpu_s": 0.0, "bytes": 0}
        for number in range(first, first + count):
            answers.write(f"{number}\n")  # which one it is, should the process end
            try_one(attempt, f"{seed}/{kind}/{number}", outcome, answers)
        answers.write(json.dumps({"end": outcome}) + "\n")
    answers.flush()
    os._exit(0)  # threads of libraries are not waited for


def try_one(attempt: Any, name: str, outcome: dict[str, Any], answers: Any) -> None:
    from cosseg_jax.errors import UserError

    before, started = memory_after_reset(), time.process_time()
    faulthandler.dump_traceback_later(LONGEST_S, exit=True)
    fault = None
    try:
        attempt(random.Random(name))
        outcome["read"] += 1
    except BaseException as error:
        names_path = isinstance(error, OSError) and error.filename is not None
        if isinstance(error, UserError) or names_path:
            outcome["refused"] += 1
        else:
            fault = traceback.format_exc()
    faulthandler.cancel_dump_traceback_later()
    cpu_s, taken = time.process_time() - started, peak_memory() - before
    if cpu_s > LONGEST_CPU_S or taken > MOST_BYTES:
        fault = f"it took {cpu_s:.1f} s and {taken / 1e6:.0f} MB"
    outcome["cpu_s"] = max(outcome["cpu_s"], cpu_s)
    outcome["bytes"] = max(outcome["bytes"], taken)
    if fault:
        answers.write(json.dumps({"fault": fault, "name": name}) + "\n")


def memory_after_reset() -> int:
    """This process's memory in bytes; the peak is counted from now on (Linux, else 0)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class Tally:
    """What came of the inputs of one kind."""

    def __init__(self) -> None:
        self.counts = collections.Counter()
        self.cpu_s = self.bytes = 0.0
        self.faults: list[str] = []

    def add(self, outcome: dict[str, Any]) -> None:
        self.counts.update({key: outcome[key] for key in ("read", "refused")})
        self.cpu_s = max(self.cpu_s, outcome["cpu_s"])
        self.bytes = max(self.bytes, outcome["bytes"])

    def add_fault(self, name: str, fault: str) -> None:
        self.faults.append(name)
        if len(self.faults) <= MOST_SHOWN:
            print(f"FAULT {name}\n{fault}", flush=True)


def run_kind(kind: str, seed: int, first: int, count: int) -> Tally:
    """Reads inputs `first` to `first + count` of a kind, in as many processes as it takes."""
    tally, end = Tally(), first + count
    while first < end:
        command = [sys.executable, __file__, "--work", "--kinds", kind, "--seed", str(seed)]
        command += ["--first", str(first), "--total", str(end - first)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        ended, begun, said = False, first, collections.deque[str](maxlen=40)
        reader = _reading(process.stderr, said)
        assert process.stdout is not None
        for line in process.stdout:
            answer = json.loads(line)
            if isinstance(answer, int):
                first = answer + 1
            elif "fault" in answer:
                tally.add_fault(answer["name"], answer["fault"])
            else:
                tally.add(answer["end"])
                ended = True
        code = process.wait()
        reader.join()
        if not ended:
            said = "".join(said)
            tally.add_fault(f"{seed}/{kind}/{first - 1}", f"the process ended with {code}:\n{said}")
            first += first == begun  # it has read nothing
    return tally


def _reading(stream: Any, into: collections.deque[str]) -> Any:
    """A thread that reads a stream to its end, so that its writer never waits."""
    thread = threading.Thread(target=lambda: into.extend(stream))
    thread.start()
    return thread


def main() -> None:
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(errors="backslashreplace")  # inputs may be no text
    parser = argparse.ArgumentParser(description="Reads changed inputs of every kind.")
    parser.add_argument("--total", type=int, default=100_000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of each kind's first input")
    parser.add_argument("--kinds", help="with commas between them; default: all")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.kinds, options.seed, options.first, options.total)
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    shares = sum(KINDS[kind][1] for kind in kinds)
    faults = inputs = 0
    for kind in kinds:
        started, count = time.monotonic(), -(-options.total * KINDS[kind][1] // shares)
        tally = run_kind(kind, options.seed, options.first, count)
        print(
            f"{kind}: {count} inputs, {tally.counts['read']} read, {tally.counts['refused']} "
            f"refused, {len(tally.faults)} faults; at most {tally.cpu_s:.1f} s and "
            f"{tally.bytes / 1e6:.0f} MB for one; {time.monotonic() - started:.0f} s",
            flush=True,
        )
        faults, inputs = faults + len(tally.faults), inputs + count
    print(f"{inputs} inputs, seed {options.seed}: {faults} faults")
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
