"""What a run writes down as it goes: a progress bar, a JSONL file of metrics, TensorBoard files."""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tqdm import tqdm

from cosseg_jax import files
from cosseg_jax.errors import NotFiniteError
from cosseg_jax.train.step import first_replica
from cosseg_jax.types import Ndarray

METRICS_FILE = "metrics.jsonl"
METRICS_BEFORE = "metrics_before.jsonl"  # of a run whose checkpoints are gone
PREVIEWS = "previews"


class RunLog:
    """The log of one run, in its `workdir`; a run that goes on appends to the same files.

    Args:
        workdir: gets `metrics.jsonl`, `tensorboard/` and `previews/`.
        start: the step from which the run goes on. Lines beyond it, by an interrupted run, are
            removed, since those steps are made again.
        steps: the length of the run.
        images_per_step: over all processes.
        active: False in all but the first of several processes: nothing is written or shown.
    """

    def __init__(
        self, workdir: Path, *, start: int, steps: int, images_per_step: int, active: bool = True
    ):
        self._workdir = workdir
        self._images_per_step = images_per_step
        self._active = active
        if active:
            with _naming(workdir):
                _drop_after(workdir / METRICS_FILE, start)
                folder = workdir / "tensorboard"
                folder.mkdir(parents=True, exist_ok=True)
                self._events = EventsWriter(str(folder / "events"))
                restart = SessionLog(status=SessionLog.START)  # later events are made again
                self._events.write_event(
                    Event(wall_time=time.time(), step=start + 1, session_log=restart)
                )
        self._bar = tqdm(total=steps, initial=start, desc="train", unit="step", disable=not active)

    def advance(self) -> None:
        """Advances the bar by one step."""
        self._bar.update()

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes the metrics of a step, by training or validation.

        Raises:
            OSError: naming the workdir, if they cannot be written.
        """
        if not self._active:
            return
        values = {name: float(value) for name, value in values.items()}
        line = json.dumps({"step": step, "split": split, **values})
        with _naming(self._workdir):
            with (self._workdir / METRICS_FILE).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            for name, value in values.items():
                self._add_event(step, summary.scalar(f"{split}/{name}", value))
            self._events.flush()

    def show(self, values: Mapping[str, float]) -> None:
        """Shows values behind the progress bar, with the recent number of images per second."""
        rate = self._bar.format_dict["rate"] or 0.0
        shown = {name: f"{value:.4g}" for name, value in values.items()}
        self._bar.set_postfix({**shown, "images/s": f"{rate * self._images_per_step:.0f}"})

    def say(self, line: str) -> None:
        """Prints a line above the progress bar."""
        if self._active:
            self._bar.write(line)

    def preview(self, step: int, name: str, image: UInt8[Ndarray, "H W 3"]) -> None:
        """Writes an image as a PNG file and to TensorBoard; raises as `write` does."""
        if not self._active:
            return
        folder = self._workdir / PREVIEWS
        with _naming(self._workdir):
            folder.mkdir(exist_ok=True)
            Image.fromarray(image).save(folder / f"{name}_{step:07d}.png")
            self._add_event(step, summary.image(name, image, dataformats="HWC"))
            self._events.flush()

    def close(self) -> None:
        """Closes the bar and the files; nothing is written or shown from then on."""
        self._bar.close()
        if self._active:
            self._active = False
            with contextlib.suppress(OSError):  # has been raised by what could not be written
                self._events.close()

    def _add_event(self, step: int, content: Any) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, summary=content))


class MetricsBuffer:
    """Holds the metrics of steps, still on the devices, until they are written."""

    def __init__(self, log: RunLog):
        self._log = log
        self._steps: list[dict[str, Any]] = []

    def add(self, metrics: dict[str, Any]) -> None:
        """Takes the metrics of one more step."""
        self._steps.append(metrics)
        self._log.advance()

    def write(self, step: int) -> None:
        """Writes the means over the steps up to `step`, and forgets these.

        Raises:
            NotFiniteError: if a loss or gradient of them is not finite; names the step.
        """
        if not self._steps:
            return
        steps = [
            {name: float(value) for name, value in first_replica(metrics).items()}
            for metrics in self._steps
        ]
        self._steps.clear()
        for number, metrics in enumerate(steps, start=step - len(steps) + 1):
            _check_finite(number, metrics)
        means = mean_of(steps)
        self._log.write(step, "train", means)
        self._log.show({"loss": means["loss"], "J": means["J"]})


def mean_of(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over a list of steps."""
    return {name: float(np.mean([step[name] for step in metrics])) for name in metrics[0]}


def _check_finite(step: int, metrics: Mapping[str, float]) -> None:
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise NotFiniteError(
            f"step {step}: {', '.join(bad)} not finite. The run has stopped; its last good "
            "checkpoint is kept. Lower optimizer.learning_rate or set optimizer.clip_norm"
        )


def _drop_after(path: Path, step: int) -> None:
    """Removes the lines of steps after `step`, and a last line that a kill has cut off.

    Before a first step, metrics that are there belong to lost checkpoints: they are moved.
    """
    if not path.exists():
        return
    if step == 0:
        path.replace(path.with_name(METRICS_BEFORE))
        print(
            f"{path.parent} has metrics but no checkpoint: training starts at step 0, and the old "
            f"metrics are kept in {METRICS_BEFORE}"
        )
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    files.write_whole(path, "".join(kept).encode())


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Gives an OSError (a full disk, a missing permission) the path."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
