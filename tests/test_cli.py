"""Wrong input ends in one line and status 2; a fault of the program keeps its traceback."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cosseg_jax import cli, metrics
from cosseg_jax.errors import UserError
from cosseg_jax.models.lpips_files import lpips_file

PROGRAM = """
from absl import flags
from cosseg_jax import cli
flags.DEFINE_integer("number", 1, "A number.")
def main(argv):
    {body}
cli.run(main)
"""


def run(body: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body), *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )


@pytest.mark.parametrize(
    ("body", "arguments", "status", "message"),
    [
        ("print('done')", (), 0, ""),
        ("open('missing.txt')", (), 2, "error: [Errno 2] No such file or directory: 'missing.txt'"),
        ("pass", ("--nonsense=1",), 2, "error: Unknown command line flag 'nonsense'"),
        ("pass", ("--number=x",), 2, "error: flag --number=x: "),
        ("pass", ("word",), 2, "error: unexpected argument 'word'"),
    ],
)
def test_exit_status_and_message(body: str, arguments: tuple, status: int, message: str):
    done = run(body, *arguments)
    assert done.returncode == status
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == min(status, 1)


@pytest.mark.parametrize(("arguments", "lines"), [((), 0), (("--verbosity=0",), 1)])
def test_libraries_are_quiet_unless_asked(arguments: tuple, lines: int):
    done = run("from absl import logging; logging.info('chatter')", *arguments)
    assert done.stderr.count("chatter") == lines


def test_a_config_field_that_does_not_exist_is_named(tmp_path: Path):
    """The message comes before `main`, from the parsing of the flags."""
    config = tmp_path / "recipe.py"
    config.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'optimizer': {'learning_rate': 0.1}})\n"
    )
    program = (
        "from ml_collections import config_flags; from cosseg_jax import cli;"
        "config_flags.DEFINE_config_file('config'); cli.run(lambda argv: None)"
    )
    for field in ("nonsense", "optimizer.rate"):
        done = subprocess.run(
            [sys.executable, "-c", program, f"--config={config}", f"--config.{field}=1"],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"error: --config.{field}: the config has no field")
        assert done.stderr.count("\n") == 1


def test_a_config_that_refuses_its_argument_speaks_without_a_traceback(tmp_path: Path):
    config = tmp_path / "recipe.py"
    config.write_text(
        "def get_config(choice='a'):\n    raise ValueError(f'no such {choice}; try b')\n"
    )
    program = (
        "from ml_collections import config_flags; from cosseg_jax import cli;"
        "config_flags.DEFINE_config_file('config'); cli.run(lambda argv: None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"--config={config}:x"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.endswith("recipe.py:x: no such x; try b\n")
    assert "Traceback" not in done.stderr


def test_a_fault_of_the_program_keeps_its_traceback():
    done = run("[][1]")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def error_of(function, *arguments) -> Exception:
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (metrics.protocol_named, ("iou",), True),
        (np.zeros(3).reshape, (2, 2), False),
        (int, ("x",), False),
        (Path("nowhere").read_text, (), True),
        ({}.__getitem__, ("key",), False),
    ],
)
def test_only_errors_that_we_raised_speak_to_the_user(function, arguments, expected: bool):
    assert cli.is_user_error(error_of(function, *arguments)) is expected


def test_a_missing_library_speaks_to_the_user(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    assert cli.is_user_error(error_of(lpips_file))
    assert not cli.is_user_error(error_of(importlib.import_module, "no_such_module"))


def test_a_message_is_one_line_without_quotes_around_it():
    assert cli.message_of(KeyError("no class 'x';\n  valid: y")) == "no class 'x'; valid: y"
    assert cli.message_of(UserError("wrong")) == "wrong"
