"""`python -m benchmarks`: ratios, promises, and what the exit code says."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.ratio import Ratio, read_ratios, write_ratios


def test_a_ratio_says_whether_its_promise_holds():
    assert Ratio("a", (1.0, 3.0, 2.0), 2.0).holds
    assert not Ratio("a", (1.0, 3.0, 1.9), 2.0).holds
    assert Ratio("a", (0.1,)).holds
    assert str(Ratio("a", (1.0, 3.0, 2.0), 2.5)) == "a: 2.00 (1.00 to 3.00; promised 2.5; BROKEN)"
    assert str(Ratio("a", (1.0,))) == "a: 1.00 (1.00 to 1.00)"


def test_ratios_are_read_as_they_were_written(tmp_path: Path):
    ratios = [Ratio("a", (1.0, 2.0), 3.0), Ratio("b", (0.5,))]
    write_ratios(tmp_path / "ratios.json", ratios)
    assert read_ratios(tmp_path / "ratios.json") == ratios


@pytest.mark.parametrize(
    ("ratios", "code"),
    [([Ratio("a", (2.0,), 1.0)], 0), ([Ratio("a", (0.5,), 1.0)], 1), (None, 1)],
    ids=["kept", "broken", "failed"],
)
def test_the_exit_code_tells_of_broken_promises(
    ratios: list[Ratio] | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out.json"
    monkeypatch.setattr(program, "run", lambda name, benchmark: ratios)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only", "eigen", "--out", str(out)])
    assert program.main() == code
    written = json.loads(out.read_text())
    assert written["ratios"]["eigen"] == [
        dict(ratio._asdict()) | {"values": list(ratio.values)} for ratio in ratios or ()
    ]
    assert written["failed"] == (["eigen"] if ratios is None else [])


def test_a_benchmark_that_needs_a_gpu_is_only_run_when_asked(monkeypatch: pytest.MonkeyPatch):
    seen = []
    table = {"here": program.Benchmark(), "there": program.Benchmark(needs_gpu=True)}
    monkeypatch.setattr(program, "BENCHMARKS", table)
    monkeypatch.setattr(program, "run", lambda name, benchmark: seen.append(name) or [])
    for arguments in ([], ["--gpu"]):
        monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
        assert program.main() == 0
    assert seen == ["here", "here", "there"]
