"""Runs command-line programs: wrong input ends in one clear line, and so does Ctrl-C.

Exit codes: 0 success, 2 wrong input (or a full disk, a missing permission), 130 interrupted. A bug
keeps its traceback and exits with 1. JAX and absl are only imported where they are needed, so that
help is shown at once and an early Ctrl-C is handled.
"""

import _thread
import contextlib
import difflib
import functools
import inspect
import os
import runpy
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from cosseg_jax.errors import UserError, is_user_error, message_of

WRONG_INPUT, INTERRUPTED, READER_GONE = 2, 130, 141  # exit codes
CONFIG_FLAG = "config"  # the flag that names a config file, in programs that have one
SHORTEST_KEPT_S = 0.1  # what compiles faster is not kept on disk
CHECKED = "checked"  # in the folder of compiled programs; its time is that of the last check
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def exit_on_interrupt() -> None:
    """Makes Ctrl-C end this process with one line and exit code 130, from now on.

    Programs call it before they import JAX, which takes seconds. Where the reader of their output
    has gone (`| head`), they end without a word.
    """
    sys.excepthook = _exit_if_interrupted
    sys.unraisablehook = _raise_interrupt_again


def exit_code_of(program: Callable[[], object]) -> int:
    """Runs `program`, prints a mistake of the user on one line, and returns the exit code.

    Raises whatever is a bug.
    """
    try:
        program()
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except Exception as error:
        if not is_user_error(error):
            raise
        print(f"error: {message_of(error)}", file=sys.stderr)
        return WRONG_INPUT
    return 0


def run(main: Callable[[list[str]], Any], *, positionals: int = 0) -> NoReturn:
    """Parses the absl flags, runs `main` and exits.

    `--help` shows the docstring and the flags of the module that `main` is from. Beside flags the
    program takes up to `positionals` arguments.

    Messages of libraries below warnings are left out unless `--verbosity` asks for them, and
    compiled programs are kept unless `--nocompilation_cache` forbids it.
    """
    from absl import app, flags, logging

    keep = flags.DEFINE_bool(
        "compilation_cache", True, "Keep compiled programs on disk, so that later starts are quick."
    )

    def with_settings(argv: list[str]) -> Any:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        if keep.value:
            keep_compilations()
        return main(argv)

    exit_on_interrupt()
    if {"--help", "-h"} & set(sys.argv[1:]):
        raise SystemExit(exit_code_of(lambda: _show_help(main.__module__)))
    parser = functools.partial(_parse, positionals)
    raise SystemExit(exit_code_of(lambda: app.run(with_settings, flags_parser=parser)))


def keep_compilations() -> None:
    """Keeps compiled programs in the user's cache, or where JAX_COMPILATION_CACHE_DIR says.

    Removes files that a killed process has cut short from the user's cache: JAX never replaces
    them.
    """
    from cosseg_jax.files import cache_dir

    settings: dict[str, Any] = {"jax_persistent_cache_min_compile_time_secs": SHORTEST_KEPT_S}
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = cache_dir() / "compilations"
        settings["jax_compilation_cache_dir"] = str(folder)
        with contextlib.suppress(OSError):
            remove_cut_compilations(folder)
    for name, value in settings.items():
        if name.upper() not in os.environ:
            os.environ[name.upper()] = str(value)  # JAX reads it when it is imported
            if jax := sys.modules.get("jax"):
                jax.config.update(name, value)


def remove_cut_compilations(folder: Path) -> None:
    """Removes those of JAX's cache files that are not whole; looks only at new ones."""
    folder.mkdir(parents=True, exist_ok=True)
    checked, started = folder / CHECKED, folder / f"{CHECKED}.{os.getpid()}"
    since = checked.stat().st_mtime if checked.exists() else 0.0
    started.touch()  # before the check: what is written meanwhile is checked the next time
    for path in folder.glob("*-cache"):
        if path.stat().st_mtime >= since and not _is_whole(path.read_bytes()):
            path.unlink()
    started.replace(checked)


def _is_whole(content: bytes) -> bool:
    """Whether a compressed file is complete; JAX uses zstd if it is installed, else zlib."""
    try:
        if content.startswith(ZSTD_MAGIC):
            import zstandard  # pyright: ignore[reportMissingImports]

            zstandard.ZstdDecompressor().decompress(content)
        else:
            zlib.decompress(content)
    except ImportError:
        return True  # nobody can say
    except Exception:  # zlib.error, zstandard.ZstdError
        return False
    return True


def _exit_if_interrupted(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """What Python calls for an error that nobody handled."""
    if issubclass(kind, KeyboardInterrupt):
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED)  # threads of JAX and of data loaders are not waited for
    if issubclass(kind, BrokenPipeError):
        os._exit(READER_GONE)
    sys.__excepthook__(kind, error, traceback)


def _raise_interrupt_again(unraisable: Any) -> None:
    """What Python calls for an error in a callback, for example JAX's for the garbage collector."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.1, _interrupt_main_thread).start()  # when the callback has ended
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):  # also wakes a main thread that waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # on Windows
        _thread.interrupt_main()


def _show_help(module: str) -> None:
    from absl import flags

    named = sys.argv[0] if module == "__main__" else module  # as absl calls it
    listed = flags.FLAGS.module_help(named).strip().partition("\n")[2]
    print(f"{sys.modules[module].__doc__ or ''}\nflags:\n{listed}\n\n--helpfull lists all flags.")


def _parse(positionals: int, argv: Sequence[str]) -> list[str]:
    """The arguments that are no flags. Raises UserError for unknown flags and wrong values."""
    from absl import flags

    if CONFIG_FLAG in flags.FLAGS:
        check_config_flags(argv)
    try:
        rest = flags.FLAGS(list(argv))
    except flags.Error as error:
        raise UserError(message_of(error)) from error
    if len(rest) > 1 + positionals:
        raise UserError(
            f"unexpected argument {rest[1 + positionals]!r}; options are written --name=value"
        )
    return rest


def check_config_flags(argv: Sequence[str]) -> None:
    """Checks the config file and the names in `--config.NAME=VALUE`, before absl applies them.

    Raises UserError for a file that does not load, and for a name that the config lacks.
    """
    path, names = _config_flags(argv)
    if path is None:
        return
    fields = sorted(_field_names(load_config_file(path)), key=lambda name: name.count("."))
    for name in names:
        if name not in fields:
            similar = _most_similar(name, fields)
            advice = f"did you mean {similar!r}?" if similar else f"{path} lists its fields"
            raise UserError(f"--{CONFIG_FLAG}.{name}: the config has no field {name!r}; {advice}")


def load_config_file(path: str) -> Mapping[str, Any]:
    """The config of FILE or FILE:ARGUMENT, which `get_config` in that file returns.

    Raises UserError, naming the file, if it cannot be read or refuses its argument.
    """
    file, *argument = path.split(":", 1)
    if not Path(file).is_file():
        raise UserError(f"--{CONFIG_FLAG} {file}: no such file")
    try:
        get_config = runpy.run_path(file).get("get_config")
    except SyntaxError as error:
        raise UserError(f"--{CONFIG_FLAG} {file}, line {error.lineno}: {error.msg}") from error
    if get_config is None:
        raise UserError(f"--{CONFIG_FLAG} {file}: it defines no function get_config")
    try:
        inspect.signature(get_config).bind(*argument)
    except TypeError as error:
        raise UserError(f"--{CONFIG_FLAG} {path}: get_config has {error}") from error
    try:
        return get_config(*argument)
    except ValueError as error:
        raise UserError(f"--{CONFIG_FLAG} {path}: {message_of(error)}") from error


def _config_flags(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of --config, the last one if there are several, and X of each --config.X."""
    path, names = None, []
    for argument, following in zip(argv, [*argv[1:], None], strict=True):
        option, equals, value = argument.partition("=")
        name = option.lstrip("-").removeprefix("no") if option.startswith("-") else ""
        if name == CONFIG_FLAG:
            path = value if equals else following
        elif name.startswith(f"{CONFIG_FLAG}."):
            names.append(name.removeprefix(f"{CONFIG_FLAG}."))
    return path, names


def _field_names(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of all fields, with a dot between those of a config and of the one in it."""
    for name, value in config.items():
        yield f"{prefix}{name}"
        if hasattr(value, "items"):
            yield from _field_names(value, f"{prefix}{name}.")


def _most_similar(name: str, fields: Sequence[str]) -> str | None:
    """The field that is meant, by its whole name or by its last part; never a group of fields."""
    fields = [each for each in fields if not any(x.startswith(f"{each}.") for x in fields)]
    if similar := difflib.get_close_matches(name, fields, 1):
        return similar[0]
    by_last_part = {field.rpartition(".")[2]: field for field in reversed(fields)}
    similar = difflib.get_close_matches(name.rpartition(".")[2], by_last_part, 1)
    return by_last_part[similar[0]] if similar else None
