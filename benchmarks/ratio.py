"""How benchmarks state what they found: ratios with their spread, and what is promised of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Ratio(NamedTuple):
    """How many times better this package is than something else, in one run.

    name: what is compared, on what.
    values: the ratio of each repetition.
    promised: what their median has to reach; None where nothing is promised.
    """

    name: str
    values: tuple[float, ...]
    promised: float | None = None

    @property
    def holds(self) -> bool:
        return self.promised is None or float(np.median(self.values)) >= self.promised

    def __str__(self) -> str:
        """One line: the median, its spread and the promise."""
        promise = "" if self.promised is None else f"; promised {self.promised:g}"
        failure = "" if self.holds else "; BROKEN"
        spread = f"{min(self.values):.2f} to {max(self.values):.2f}"
        return f"{self.name}: {np.median(self.values):.2f} ({spread}{promise}{failure})"


def write_ratios(path: Path, ratios: Sequence[Ratio]) -> None:
    path.write_text(json.dumps([ratio._asdict() for ratio in ratios], indent=1) + "\n")


def read_ratios(path: Path) -> list[Ratio]:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return [Ratio(**each | {"values": tuple(each["values"])}) for each in found]
