"""Kills programs (SIGKILL) at random moments, starts them again, and checks that nothing is lost.

    python benchmarks/kills.py [--kills 50] [--seed 0] [--workdir DIR] [--only applying,preparing]

A program is started again with the same command, until its kills are done; then it runs to its
end. Only `cosseg apply` takes --resume from the second start on. What it has written has to be that
of an uninterrupted run, bit for bit, and nothing half-written may be left, but for hidden files of
`cosseg segment` and `apply`, which go after a day.

    training    up to 3 s after the first metrics of the restarted process
    saving      up to 50 ms after the start of one of its first five checkpoints
    exporting   up to 50 ms after the start of the export
    preparing   up to 2 s after the working folder of a data set is made
    segmenting  up to 0.3 s after the first file is written
    applying    the same, in `cosseg apply`, with annotations for other tools

The first three are train.py with a tiny network on the built-in data, and take half of the kills
(with --only, they are called training). A kill that comes when its program has ended already is not
counted.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
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
UNFINISHED = ("unfinished", "tmp", "building")  # in the names of what is being written
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


def kill_when(line: list[str], reached: Callable[[], bool], delay_s: float) -> bool:
    """Starts a command and kills it `delay_s` after a condition holds; False if it ended before."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.time() + PATIENCE_S
    while not reached():
        if process.poll() == 0:
            return False
        if process.poll() is not None or time.time() > deadline:
            process.kill()
            raise SystemExit(f"the moment was not reached:\n{process.communicate()[0]}")
        time.sleep(0.002)
    time.sleep(delay_s)
    running = process.poll() is None
    if running:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return running


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def kill_in_training(workdir: Path, rng: random.Random) -> bool:
    metrics = workdir / "metrics.jsonl"
    started = time.time()

    def written_to() -> bool:
        return size_of(metrics) > 0 and metrics.stat().st_mtime > started + 1

    return kill_when(command(workdir, ENDLESS), written_to, rng.uniform(0, 3))


def kill_in_saving(workdir: Path, rng: random.Random) -> bool:
    before = {p.name for p in (workdir / "checkpoints").glob("*")}
    seen, wanted = set[str](), rng.randint(1, 5)

    def begun() -> bool:
        seen.update(p.name for p in (workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"))
        return len(seen - before) >= wanted

    return kill_when(command(workdir, ENDLESS), begun, rng.uniform(0, 0.05))


def kill_in_export(workdir: Path, export: Path, steps: int, rng: random.Random) -> bool:
    unfinished, started = export.with_name(f".{export.name}.unfinished"), time.time()

    def begun() -> bool:
        return unfinished.exists() and unfinished.stat().st_mtime > started

    return kill_when(command(workdir, steps, export), begun, rng.uniform(0, 0.05))


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


def kills_of_training(folder: Path, count: int, rng: random.Random) -> int:
    """Kills train.py and compares it with an uninterrupted run; returns the number of kills."""
    killed, export = folder / "killed", folder / "export"
    in_export, done = max(1, count // 5), 0
    while done < count - in_export:
        act, name = [(kill_in_training, "training"), (kill_in_saving, "saving")][done % 2]
        done += act(killed, rng)
        print(f"kill {done} in {name}: step {latest_step(killed)} is saved", flush=True)
    steps = latest_step(killed) + FURTHER
    finish(command(killed, steps))
    for _ in range(in_export):
        done += kill_in_export(killed, export, steps, rng)
        print(f"kill {done} in exporting", flush=True)
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
    print(f"training: {done} kills, {steps} steps, equal metrics", flush=True)
    return done


def kills_of_writing(
    name: str,
    line: Callable[[Path], list[str]],
    reached: Callable[[Path], bool],
    longest_s: float,
    folder: Path,
    count: int,
    rng: random.Random,
    going_on: Sequence[str] = (),
) -> int:
    """Kills a command that writes files into a folder, and compares them with those of another run.

    Args:
        name: for what is printed.
        line: the command that writes into a folder.
        reached: whether it has begun to write into the folder.
        longest_s: from then until the kill.
        folder, count, rng: of the kills. Returns how many there were.
        going_on: what the command takes besides when it is started again.
    """
    killed, whole, done = folder / "killed", folder / "whole", 0
    for _ in range(count):
        shutil.rmtree(killed, ignore_errors=True)
        done += kill_when(line(killed), lambda: reached(killed), rng.uniform(0, longest_s))
        print(f"kill {done} in {name}", flush=True)
        finish([*line(killed), *going_on])
        if not whole.exists():
            finish(line(whole))
        same_files(killed, whole, name)
    print(f"{name}: {done} kills, equal files each time", flush=True)
    return done


def same_files(one: Path, other: Path, name: str) -> None:
    """Ends the program unless two folders hold the same files, byte for byte."""
    contents = [
        {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (one, other)
    ]
    differing = [
        file
        for file in contents[0].keys() | contents[1].keys()
        if contents[0].get(file) != contents[1].get(file) and not Path(file).name.startswith(".")
    ]
    if differing:
        raise SystemExit(f"{name}: {sorted(differing)} differ from those of an uninterrupted run")


def photos(folder: Path, count: int, side: int) -> Path:
    """A folder of photos of noise."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def kills_of_preparing(folder: Path, count: int, rng: random.Random) -> int:
    source = photos(folder / "photos" / "noise", 300, 150).parent
    program = [sys.executable, "-m", "cosseg_jax.data.prepare", "folder", "--source", str(source)]
    return kills_of_writing(
        "preparing",
        lambda to: [*program, "--data_dir", str(to)],
        lambda to: any(to.glob("*.building-*")),
        2.0,
        folder,
        count,
        rng,
    )


def kills_of_segmenting(folder: Path, count: int, rng: random.Random) -> int:
    source, network = photos(folder / "photos", 20, 600), ROOT / "tests" / "goldens" / "quickstart"
    program = [sys.executable, "-m", "cosseg_jax", "segment", str(source), "--force"]
    return kills_of_writing(
        "segmenting",
        lambda to: [*program, "--checkpoint", str(network), "--out", str(to)],
        lambda to: any(to.glob("*/*.*")),
        0.3,
        folder,
        count,
        rng,
    )


def kills_of_applying(folder: Path, count: int, rng: random.Random) -> int:
    """A concept is learnt from noise and masks, and applied to photos of noise."""
    from PIL import Image

    network = ["--checkpoint", str(ROOT / "tests" / "goldens" / "quickstart")]
    source, shown = photos(folder / "photos", 20, 600), photos(folder / "shown", 2, 200)
    concept, masks = folder / "noise.concept", folder / "masks"
    masks.mkdir()
    for path in shown.iterdir():
        mask = Image.new("L", (200, 200))
        mask.paste(255, (40, 40, 160, 160))
        mask.save(masks / path.name)
    program = [sys.executable, "-m", "cosseg_jax"]
    finish([*program, "learn", str(shown), "--masks", str(masks), "--out", str(concept), *network])
    program += ["apply", str(concept), str(source), "--annotations", "yolo,cvat,voc", *network]
    return kills_of_writing(
        "applying",
        lambda to: [*program, "--out", str(to)],
        lambda to: any(to.glob("*/*.*")),
        0.3,
        folder,
        count,
        rng,
        ["--resume"],
    )


PROGRAMS = {  # with their shares of the kills
    "segmenting": (kills_of_segmenting, 1),
    "applying": (kills_of_applying, 1),
    "preparing": (kills_of_preparing, 1),
    "training": (kills_of_training, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Kills programs at random moments.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="with commas between them; default: all")
    parser.add_argument("--workdir", type=Path, help="a new folder; default: a temporary one")
    options = parser.parse_args()
    folder = options.workdir or Path(tempfile.mkdtemp(prefix="kills-"))
    os.environ["PYTHONPATH"] = str(ROOT)
    chosen = options.only.split(",") if options.only else list(PROGRAMS)
    rng, shares = random.Random(options.seed), sum(PROGRAMS[name][1] for name in chosen)
    done = 0
    for name in chosen:
        kills, share = PROGRAMS[name]
        done += kills(folder / name, max(1, options.kills * share // shares), rng)
    written = (folder / name for name in ("training", "preparing"))
    left = [str(p) for of in written for p in of.rglob("*") if any(w in p.name for w in UNFINISHED)]
    if left:
        raise SystemExit(f"half-written files are left: {left}")
    print(f"{done} kills: nothing is lost, and nothing half-written is left")


if __name__ == "__main__":
    main()
