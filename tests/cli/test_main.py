"""The command line as a process: help, exit codes, quiet interruption; and its parsing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from golden_network import EXPORT, write_shapes

from cosseg_jax.cli import main as program
from cosseg_jax.cli import options, segment
from cosseg_jax.predict import predictor

ROOT = Path(__file__).parents[2]


def cosseg(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "cosseg_jax", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def test_help_is_at_once_there_since_nothing_heavy_is_imported():
    script = (
        "import sys; from cosseg_jax.cli.main import main\n"
        "try:\n    main(['segment', '--help'])\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "assert not {'jax', 'numpy', 'PIL', 'absl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_photographs_to_masks_as_a_process(tmp_path: Path):
    photos = write_shapes(tmp_path / "photos")
    done = cosseg("segment", photos, "--out", tmp_path / "out", "--checkpoint", EXPORT)
    assert done.returncode == 0, done.stderr
    assert "3 photographs, written to" in done.stdout
    assert "3/3" in done.stderr
    assert (tmp_path / "out" / "segmentation.json").is_file()


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_programs_with_flags_show_their_flags(name: str):
    done = cosseg(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"train": "--workdir", "evaluate": "--save_masks"}[name] in done.stdout


def test_programs_with_flags_get_the_rest_of_the_command_line():
    done = cosseg("train", "--config", "configs/quickstart.py", "--config.image_siz=3")
    assert done.returncode == 2
    assert done.stderr == (
        "error: --config.image_siz: the config has no field 'image_siz'; "
        "did you mean 'image_size'?\n"
    )


def test_an_interruption_is_quiet(tmp_path: Path):
    """Ctrl-C while photographs are read, which is made to take long."""
    (photo,) = write_shapes(tmp_path, ("a.png",)).iterdir()
    command = ["segment", str(photo), "--out", str(tmp_path / "out"), "--checkpoint", str(EXPORT)]
    script = (
        "import signal, sys; from cosseg_jax.cli import reading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "def wait(*_):\n    print('waiting', flush=True); import time; time.sleep(100)\n"
        "reading.check = wait\n"
        f"from cosseg_jax.cli.main import main; sys.exit(main({command!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "")


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
            ["segment", "x", "--out", "y", "--point", "1,2", "--mask", "m.png"],
            "argument --mask: not allowed with argument --point",
        ),
        (["show", "x", "--out", "sheet.gif"], "'sheet.gif' does not end in .png"),
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


def test_a_fault_of_the_program_is_not_swallowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment, "run", lambda options: [][1])
    with pytest.raises(IndexError):
        program.main(["segment", "x", "--out", "y"])


def test_defaults_are_those_of_the_predictor():
    assert options.DEFAULT_CHUNK == predictor.CHUNK
    assert options.DEFAULT_THRESHOLD == predictor.THRESHOLD
