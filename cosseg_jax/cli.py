"""Runs a command-line program so that wrong input ends in one clear line, not in a traceback.

A mistake of the user (an unknown name) or of the surroundings (a missing folder, a full disk) exits
with status 2 and its message; a fault of the program keeps its traceback and exits with 1. Messages
of ValueError, KeyError and ImportError count as written for the user only where this package raised
them.
"""

import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import app, flags, logging

from cosseg_jax.errors import UserError
from cosseg_jax.folders import cache_dir

COMPILATION_CACHE = flags.DEFINE_bool(
    "compilation_cache", True, "Keep compiled programs on disk, so that later starts are quick."
)

_ALWAYS = (UserError, OSError, FloatingPointError)
_WHERE_WE_RAISED_IT = (ValueError, KeyError, ImportError)
_PACKAGE = Path(__file__).parent


def run(main: Callable[[list[str]], Any], *, positionals: int = 0) -> NoReturn:
    """Parses the flags, runs `main` and exits: 0 after success, 2 for wrong input.

    Beside flags the program takes as many arguments as `positionals` says, at most.

    Libraries' chatter below warnings is left out unless `--verbosity` asks for it, and compiled
    programs are kept unless `--nocompilation_cache` forbids it.
    """

    def quietly(argv: list[str]) -> Any:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        if COMPILATION_CACHE.value:
            keep_compilations()
        return main(argv)

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


def is_user_error(error: BaseException) -> bool:
    """Whether the error's message alone tells the user what to change."""
    if isinstance(error, _ALWAYS):
        return True
    if not isinstance(error, _WHERE_WE_RAISED_IT) or error.__traceback__ is None:
        return False
    if isinstance(error, KeyError) and " " not in message_of(error):
        return False  # a failed look-up, not a sentence
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return _PACKAGE in raised_in.parents


def message_of(error: BaseException) -> str:
    """The error's message on one line."""
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(message.split())


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
