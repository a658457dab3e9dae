"""The command line as a process: help, exit codes, interruption; and its parsing."""

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from golden_network import EXPORT, write_shapes

from cosseg_jax.cli import main as program
from cosseg_jax.cli import options
from cosseg_jax.cli.segment import SEGMENT
from cosseg_jax.predict import binary_masks, chunked

ROOT = Path(__file__).parents[2]


def cosseg(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cosseg_jax", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["segment", "--help"], ["--help"], ["--version"]])
def test_help_is_quick_since_nothing_heavy_is_imported(arguments: list[str]):
    script = (
        "import sys; from cosseg_jax.cli.main import main\n"
        f"try:\n    main({arguments})\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "assert not {'jax', 'numpy', 'PIL', 'absl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_the_version_is_printed():
    done = cosseg("--version")
    expected = (0, f"cosseg {version('cosseg-jax')}\n", "")
    assert (done.returncode, done.stdout, done.stderr) == expected


@pytest.mark.slow
def test_photos_to_masks_as_a_process(tmp_path: Path):
    photos = write_shapes(tmp_path / "写真")
    done = cosseg(
        *("segment", photos, "--out", tmp_path / "out", "--checkpoint", EXPORT),
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0, done.stderr
    assert "3 photos, written to" in done.stdout
    assert "3/3" in done.stderr
    assert (tmp_path / "out" / "segmentation.json").is_file()


@pytest.mark.slow
def test_an_interruption_ends_in_one_line(tmp_path: Path):
    """Ctrl-C while photos are segmented, which is made to take long."""
    write_shapes(tmp_path, ("a.png",))
    command = f"""
import signal, sys
from cosseg_jax.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from cosseg_jax.cli import network
def wait(*_):
    print("waiting", flush=True)
    import time; time.sleep(100)
network.segment_group = wait
sys.argv = ["cosseg", "segment", {str(tmp_path / "a.png")!r}, "--out", {str(tmp_path)!r}]
sys.exit(main())
"""
    environment = os.environ | {"COSSEG_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=ROOT, stdout=-1, stderr=-1, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND; see cosseg --help"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["segment", "x"], "required: --out; see cosseg segment --help"),
        (["segment", "x", "--out", "y", "--kinds", "mask"], "'mask' is no kind of file; choose"),
        (["segment", "x", "--out", "y", "--kinds", ","], "no kind of file is named"),
        (["segment", "x", "--out", "y", "--threshold", "2"], "--threshold: 2 is not from 0 to 1"),
        (["segment", "x", "--out", "y", "--threshold", "nan"], "nan is not from 0 to 1"),
        (["segment", "x", "--out", "y", "--threshold", "half"], "'half' is not one number"),
        (["segment", "x", "--out", "y", "--chunk", "0"], "'0' is not a whole number of 1 or more"),
        (["segment", "x", "--out", "y", "--point", "3"], "'3' is not a point X,Y in pixels"),
        (["segment", "x", "--out", "y", "--box", "1,2,3"], "'1,2,3' is not a box LEFT,TOP"),
        (
            ["segment", "x", "--out", "y", "--point", "1,2", "--prompt", "a"],
            "argument --point: needs --prompt PHOTO before it, the photo that it is in",
        ),
        (["show", "x", "--out", "y.png", "--absent"], "argument --absent: needs --prompt PHOTO"),
        (["segment", "", "--out", "y"], "argument PHOTOS: '' is not a path"),
        (["segment", "a\0b", "--out", "y"], r"argument PHOTOS: 'a\x00b' is not a path"),
        (["segment", "x", "--out", "a\0b"], r"argument --out: 'a\x00b' is not a path"),
        (
            ["info", "--checkpoint", "a\0b"],
            r"argument --checkpoint/--network: 'a\x00b' is not a path",
        ),
        (["show", "x", "--out", "sheet.gif"], "'sheet.gif' does not end in .png"),
        (["app", "--max-megabytes", "inf"], "'inf' is not a finite number above 0"),
        (["app", "--max-megapixels", "nan"], "'nan' is not a finite number above 0"),
        (["app", "--max-total-megabytes=-1"], "'-1' is not a finite number above 0"),
        (["app", "--max-photos", "0"], "'0' is not a whole number of 1 or more"),
        (["app", "--max-photos", "²"], "'²' is not a whole number of 1 or more"),
        (["app", "--port", "65536"], "'65536' is not a port, 0 to 65535"),
        (["info", "--jsn"], "unrecognized arguments: --jsn"),
    ],
)
def test_a_malformed_command_line_is_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture
):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_a_bug_is_not_swallowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(program, "COMMANDS", (SEGMENT._replace(run=lambda options: [][1]),))
    with pytest.raises(IndexError):
        program.main(["segment", "x", "--out", "y"])


def test_defaults_are_those_of_the_predictor():
    assert options.DEFAULT_CHUNK == chunked.CHUNK_SIZE
    assert options.DEFAULT_THRESHOLD == binary_masks.THRESHOLD
