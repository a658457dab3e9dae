"""Wrong input ends in one line and status 2; a fault of the program keeps its traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from absl import flags
from cosseg_jax import program
flags.DEFINE_integer("number", 1, "A number.")
def main(argv):
    {body}
program.run(main)
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
        "config_flags.DEFINE_config_file('config'); program.run(lambda argv: None)"
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
        "config_flags.DEFINE_config_file('config'); program.run(lambda argv: None)"
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


@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_help_lists_the_flags_of_the_programs_module(program: str):
    done = subprocess.run(
        [sys.executable, f"{program}.py", "--help"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"train": ["--config", "--workdir"], "evaluate": ["--dataset", "--save_masks"]}
    assert done.stdout.startswith(program.capitalize()[:5])
    assert all(f"\n  {flag}: " in done.stdout for flag in expected[program])


def test_a_fault_of_the_program_keeps_its_traceback():
    done = run("[][1]")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
