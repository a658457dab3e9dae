"""Runs a command-line program so that wrong input ends in one clear line, not in a traceback.

A mistake of the user (an unknown name) or of the surroundings (a missing folder, a full disk) exits
with status 2 and its message; a fault of the program keeps its traceback and exits with 1.
"""

import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
from absl import app, flags, logging

from cosseg_jax.errors import is_user_error, message_of
from cosseg_jax.files import cache_dir

COMPILATION_CACHE = flags.DEFINE_bool(
    "compilation_cache", True, "Keep compiled programs on disk, so that later starts are quick."
)


def run(main: Callable[[list[str]], Any], *, positionals: int = 0) -> NoReturn:
    """Parses the flags, runs `main` and exits: 0 after success, 2 for wrong input.

    `--help` shows the docstring and the flags of the module that `main` is from. Beside flags the
    program takes as many arguments as `positionals` says, at most.

    Libraries' chatter below warnings is left out unless `--verbosity` asks for it, and compiled
    programs are kept unless `--nocompilation_cache` forbids it.
    """

    def quietly(argv: list[str]) -> Any:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        if COMPILATION_CACHE.value:
            keep_compilations()
        return main(argv)

    if {"--help", "-h"} & set(sys.argv[1:]):
        _show_help(main.__module__)
        raise SystemExit(0)
    try:
        app.run(quietly, flags_parser=functools.partial(_parse, positionals))
    except Exception as error:
        if not is_user_error(error):
            raise
        _fail(message_of(error))
    raise SystemExit(0)


def keep_compilations() -> None:
    """Keeps compiled programs in the user's cache, or where JAX_COMPILATION_CACHE_DIR says."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(cache_dir() / "compilations"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _show_help(module: str) -> None:
    named = sys.argv[0] if module == "__main__" else module  # as absl calls it
    listed = flags.FLAGS.module_help(named).strip().partition("\n")[2]
    print(f"{sys.modules[module].__doc__ or ''}\nflags:\n{listed}\n\n--helpfull lists all flags.")


def _parse(positionals: int, argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(list(argv))
    except flags.Error as error:
        _fail(_without_traceback(message_of(error)))
    except (AttributeError, KeyError) as error:
        _fail_for_config_field(argv, error)
    if len(rest) > 1 + positionals:
        _fail(f"unexpected argument {rest[1 + positionals]!r}; options are written --name=value")
    return rest


def _without_traceback(message: str) -> str:
    """What a config file's ValueError says, which config_flags reports with its traceback."""
    before, traceback_started, rest = message.partition(" Error whilst parsing config file: ")
    reason = rest.rpartition(" ValueError: ")[2]
    return f"{before} {reason}" if traceback_started and reason != rest else message


def _fail_for_config_field(argv: Sequence[str], error: Exception) -> NoReturn:
    """Ends with a message if `error` is about a --config.FIELD that the config lacks."""
    message = message_of(error)
    names = re.findall(r"\w+", message)
    for argument in argv:
        option = argument.partition("=")[0]
        if option.startswith("--config.") and names and names[0] in option.split(".")[1:]:
            similar = re.search(r"Did you mean \"(\w+)\"", message)
            advice = f"did you mean {similar[1]!r}?" if similar else "its file lists all fields"
            _fail(f"{option}: the config has no field {names[0]!r}; {advice}")
    raise error


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
