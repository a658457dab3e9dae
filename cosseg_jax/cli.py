"""Runs a command-line program so that wrong input ends in one clear line, not in a traceback.

A mistake of the user (a wrong folder, an unknown name) exits with status 2 and its message; a fault
of the program keeps its traceback and exits with 1. Messages of ValueError and KeyError count as
written for the user only where this package itself raised them.
"""

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags

from cosseg_jax.errors import UserError

_ALWAYS = (
    UserError,
    FileExistsError,
    FileNotFoundError,
    FloatingPointError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_WHERE_WE_RAISED_IT = (ValueError, KeyError, OSError)
_PACKAGE = Path(__file__).parent


def run(main: Callable[[list[str]], Any]) -> NoReturn:
    """Parses the flags, runs `main` and exits: 0 after success, 2 for wrong input."""
    try:
        app.run(main, flags_parser=_parse)
    except Exception as error:
        if not is_user_error(error):
            raise
        _fail(message_of(error))
    raise SystemExit(0)


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


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        rest = flags.FLAGS(list(argv))
    except flags.Error as error:
        _fail(message_of(error))
    if len(rest) > 1:
        _fail(f"unexpected argument {rest[1]!r}; options are written --name=value")
    return rest


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)
