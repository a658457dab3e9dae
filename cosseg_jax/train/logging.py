"""What a run writes down as it goes: a progress bar, a JSONL of metrics and TensorBoard files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tensorboardX import SummaryWriter
from tqdm import tqdm

from cosseg_jax.types import Ndarray

METRICS_FILE = "metrics.jsonl"


class Journal:
    """The record of one run, in its `workdir`; a run taken up again goes on in the same files.

    Args:
        workdir: gets `metrics.jsonl`, `tensorboard/` and `pictures/`.
        start: the step from which the run goes on; what an interrupted run noted beyond it is
            dropped, since those steps are made again.
        steps: the length of the run.
        images_per_step: over all processes; their mean, where steps differ.
        active: False in all but one of several processes: nothing is written or shown.
    """

    def __init__(
        self, workdir: Path, *, start: int, steps: int, images_per_step: float, active: bool = True
    ):
        self._workdir = workdir
        self._images_per_step = images_per_step
        self._active = active
        self._bar = tqdm(total=steps, initial=start, desc="train", unit="step", disable=not active)
        self._jsonl: TextIO | None = None
        self._board: SummaryWriter | None = None
        if active:
            path = workdir / METRICS_FILE
            _drop_after(path, start)
            self._jsonl = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def advance(self) -> None:
        """One more step is made."""
        self._bar.update()

    def note(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes the metrics of a step, of training or of a validation."""
        if self._jsonl is None or self._board is None:
            return
        values = {name: float(value) for name, value in values.items()}
        self._jsonl.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._jsonl.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def show(self, values: Mapping[str, float]) -> None:
        """Shows figures behind the progress bar, with the images a second of late."""
        rate = self._bar.format_dict["rate"] or 0.0
        figures = {name: f"{value:.4g}" for name, value in values.items()}
        self._bar.set_postfix({**figures, "images/s": f"{rate * self._images_per_step:.0f}"})

    def say(self, line: str) -> None:
        """Prints a line above the progress bar."""
        if self._active:
            self._bar.write(line)

    def picture(self, step: int, name: str, image: UInt8[Ndarray, "H W 3"]) -> None:
        """Keeps a picture as a PNG file and in TensorBoard."""
        if self._board is None:
            return
        folder = self._workdir / "pictures"
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{name}_{step:07d}.png")
        self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Ends the bar and closes the files."""
        self._bar.close()
        if self._jsonl is not None and self._board is not None:
            self._jsonl.close()
            self._board.close()


def _drop_after(path: Path, step: int) -> None:
    """Removes the lines of steps after `step`, and a last line that was cut off by a kill."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry["step"] <= step:
            kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")


def mean_of(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the steps of a list."""
    return {name: float(np.mean([step[name] for step in metrics])) for name in metrics[0]}
