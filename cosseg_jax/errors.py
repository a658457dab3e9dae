"""The errors that a user's input may cause, told apart from the package's own faults.

Messages of ValueError, KeyError and ImportError count as written for the user only where this
package raised them.
"""

import traceback
from pathlib import Path


class UserError(ValueError):
    """Something in the user's input is wrong; its message alone, without a traceback, helps."""


_ALWAYS = (UserError, OSError, FloatingPointError)
_WHERE_WE_RAISED_IT = (ValueError, KeyError, ImportError)
_PACKAGE = Path(__file__).parent


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
    return one_line(message)


def one_line(text: str) -> str:
    """The text with its line breaks as spaces; spaces within a line, as of file names, are kept."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
