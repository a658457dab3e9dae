"""Signals become requests to stop, and a workdir belongs to one run at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cosseg_jax.errors import UserError
from cosseg_jax.train.stopping import LOCK_FILE, StopSignal, locked

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_has_its_usual_effect(number):
    seen = []
    before = signal.signal(number, lambda *_: seen.append("usual"))
    try:
        with StopSignal(every=1) as stop:
            assert not stop.at(1)
            os.kill(os.getpid(), number)
            assert stop.at(1)
            assert seen == []
            os.kill(os.getpid(), number)
            assert seen == ["usual"]
        os.kill(os.getpid(), number)
        assert seen == ["usual", "usual"]
    finally:
        signal.signal(number, before)


def test_the_lock_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "new" / "run"):
            held = (tmp_path / "new" / "run" / LOCK_FILE).read_text()
            assert held.startswith(f"process {os.getpid()} on ")


def test_the_holder_of_a_lock_is_named(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(UserError, match=rf"in use by a run \(process {os.getpid()} on .*--workdir"),
        locked(tmp_path),
    ):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    script = (
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path\n"
        "from cosseg_jax.train.stopping import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(UserError, match=f"process {process.pid} on"), locked(tmp_path):
        pass
    process.kill()
    process.communicate()
    with locked(tmp_path):
        pass


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into the workdir"), locked(tmp_path / "file"):
        pass
