"""Programs: wrong input and Ctrl-C end in one line, a bug keeps its traceback."""

import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from cosseg_jax import program
from cosseg_jax.errors import UserError

ROOT = Path(__file__).parents[1]
PROGRAM = """
from absl import flags
from cosseg_jax import program
flags.DEFINE_integer("number", 1, "A number.")
def main(argv):
    {body}
program.run(main)
"""
WITH_CONFIG = (
    "from ml_collections import config_flags; from cosseg_jax import program;"
    "config = config_flags.DEFINE_config_file('config', lock_config=True);"
    "program.run(lambda argv: print(config.value.to_dict()))"
)
RECIPE = """
from ml_collections import ConfigDict
def get_config(seed="0"):
    if not seed.isdecimal():
        raise ValueError(f"the seed is {seed!r}; give a number")
    optimizer = {"learning_rate": 0.1, "clip_norm": 1.0}
    return ConfigDict({"image_size": 96, "sizes": (1, 2), "flip": True, "optimizer": optimizer})
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
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
def test_exit_code_and_message(body: str, arguments: tuple, status: int, message: str):
    done = run(PROGRAM.format(body=body), *arguments)
    assert done.returncode == status
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == min(status, 1)


@pytest.mark.slow
def test_a_bug_keeps_its_traceback():
    done = run(PROGRAM.format(body="[][1]"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "lines"), [((), 0), (("--verbosity=0",), 1)])
def test_libraries_are_quiet_unless_asked(arguments: tuple, lines: int):
    body = "from absl import logging; logging.info('chatter')"
    assert run(PROGRAM.format(body=body), *arguments).stderr.count("chatter") == lines


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.py"
    path.write_text(RECIPE)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["--config={}"], "'image_size': 96"),
        (["--config", "{}:3", "--config.image_size", "64"], "'image_size': 64"),
        (["--config={}", "--config.optimizer.clip_norm=2.5"], "'clip_norm': 2.5"),
        (["--config={}", "--config.sizes=(7, 8)"], "'sizes': (7, 8)"),
        (["--config={}", "--noconfig.flip"], "'flip': False"),
    ],
)
def test_fields_of_a_config_are_set(recipe: Path, arguments: list[str], printed: str):
    done = run(WITH_CONFIG, *(argument.format(recipe) for argument in arguments))
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--config.image_siz=1",
            "--config.image_siz: the config has no field 'image_siz'; did you mean 'image_size'?",
        ),
        (
            "--config.optimizer.rate=1",
            "--config.optimizer.rate: the config has no field 'optimizer.rate'; did you mean "
            "'optimizer.learning_rate'?",
        ),
        (
            "--config.learning_rate=1",
            "--config.learning_rate: the config has no field 'learning_rate'; did you mean "
            "'optimizer.learning_rate'?",
        ),
        (
            "--config.sizes[1]=3",
            "--config.sizes[1]: the config has no field 'sizes[1]'; did you mean 'sizes'?",
        ),
        (
            "--config.zzz=1",
            "--config.zzz: the config has no field 'zzz'; {} lists its fields",
        ),
        (
            "--config.image_size=big",
            "flag --config.image_size=big: invalid literal for int() with base 10: 'big'",
        ),
    ],
)
def test_a_field_that_does_not_fit_is_named(recipe: Path, argument: str, message: str):
    done = run(WITH_CONFIG, f"--config={recipe}", argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {message.format(recipe)}\n"


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        (RECIPE, ":x", ":x: the seed is 'x'; give a number"),
        ("def get_config(): return {}", ":x", ":x: get_config has too many positional arguments"),
        ("x = (", "", ", line 1: '(' was never closed"),
        ("x = 1", "", ": it defines no function get_config"),
    ],
)
def test_a_config_file_that_does_not_load_is_named(
    tmp_path: Path, content: str, suffix: str, message: str
):
    path = tmp_path / "recipe.py"
    path.write_text(content)
    with pytest.raises(UserError) as raised:
        program.load_config_file(f"{path}{suffix}")
    assert str(raised.value) == f"--config {path}{message}"


def test_a_config_file_that_is_missing_is_named():
    done = run(WITH_CONFIG, "--config=nowhere.py", "--config.image_size=3")
    assert (done.returncode, done.stderr) == (2, "error: --config nowhere.py: no such file\n")


def test_a_bug_in_a_config_file_keeps_its_traceback(tmp_path: Path):
    (tmp_path / "recipe.py").write_text("def get_config():\n    return undefined")
    done = run(WITH_CONFIG, f"--config={tmp_path / 'recipe.py'}")
    assert done.returncode == 1
    assert done.stderr.endswith("NameError: name 'undefined' is not defined\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_help_shows_the_docstring_and_the_programs_own_flags(name: str):
    done = subprocess.run(
        [sys.executable, f"{name}.py", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"train": ["--config", "--workdir"], "evaluate": ["--dataset", "--save_masks"]}
    assert done.stdout.startswith(name.capitalize()[:5])
    assert all(f"\n  {flag}: " in done.stdout for flag in expected[name])


def test_output_may_end_early():
    """As of `| head -1`."""
    command = [sys.executable, "-c", PROGRAM.format(body="print('x' * 100_000)")]
    with subprocess.Popen(command, cwd=ROOT, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == program.READER_GONE
        assert process.stderr is not None
        assert process.stderr.read() == ""


WAITING = "print('waiting', flush=True); import time; time.sleep(100)"
EARLY = f"from cosseg_jax import program; program.exit_on_interrupt(); {WAITING}"
IN_CALLBACK = """
import gc, time
from cosseg_jax import program
program.exit_on_interrupt()
def callback(phase, _):  # as JAX has one, in which Python ignores errors
    if phase == "start":
        print("waiting", flush=True)
        time.sleep(100)
gc.callbacks.append(callback)
gc.collect()
time.sleep(100)
"""


@pytest.mark.parametrize(
    "script", [EARLY, PROGRAM.format(body=WAITING), IN_CALLBACK], ids=["early", "late", "callback"]
)
def test_an_interruption_ends_in_one_line(script: str):
    background = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    with subprocess.Popen(
        [sys.executable, "-c", background + script], cwd=ROOT, stdout=-1, stderr=-1, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "interrupted\n")


@pytest.mark.parametrize("command", ["train.py", "evaluate.py", "-m cosseg_jax.data.prepare"])
def test_programs_can_be_interrupted_while_they_import_jax(command: str, tmp_path: Path):
    (tmp_path / "jax.py").write_text(
        f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{WAITING}"
    )
    with subprocess.Popen(
        [sys.executable, *command.split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=-1,
        stderr=-1,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "interrupted\n")


def test_cut_files_of_compiled_programs_are_removed(tmp_path: Path):
    whole = zlib.compress(bytes(range(256)))
    for name, content in (("a", whole), ("b", whole[:-1]), ("c", b""), ("other", b"")):
        (tmp_path / f"{name}-cache").write_bytes(content)
    (tmp_path / "other-cache").rename(tmp_path / "other")
    program.remove_cut_compilations(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cache", "checked", "other"]


def test_compiled_programs_are_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a-cache").write_bytes(zlib.compress(b"x"))
    os.utime(tmp_path / "a-cache", times=(1e9, 1e9))
    program.remove_cut_compilations(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read again"))
    program.remove_cut_compilations(tmp_path)
    monkeypatch.undo()
    (tmp_path / "b-cache").write_bytes(b"cut")
    program.remove_cut_compilations(tmp_path)
    assert not (tmp_path / "b-cache").exists()


COMPILES = """
import sys
if "early" in sys.argv: import jax
from cosseg_jax import program
program.SHORTEST_KEPT_S = 0
program.keep_compilations()
import jax
jax.jit(lambda x: x + 1)(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_cut_file_is_made_anew_by_the_next_start(tmp_path: Path, when: str):
    """Whether JAX is imported before the cache is chosen (train.py) or after it (cosseg)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"COSSEG_CACHE_DIR": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def compiled() -> dict[str, int]:
        done = subprocess.run(
            [sys.executable, "-c", COMPILES, when],
            env=environment,
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        found = (tmp_path / "compilations").glob("*-cache")
        return {path.name: path.stat().st_size for path in found}

    sizes = compiled()
    assert sizes
    for name, size in sizes.items():
        os.truncate(tmp_path / "compilations" / name, size // 2)
    assert compiled() == sizes
