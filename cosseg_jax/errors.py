"""Errors that tell users what to change, as opposed to bugs of this package.

Every message that is written for a user is raised as a `UserError` or one of its subclasses, which
also are the built-in error of their kind, so that callers can catch either. Command-line programs
print such a message on one line. They do the same for an OSError (a full disk, a missing
permission), whose message names the path. Any other exception is a bug and keeps its traceback.
"""

from collections.abc import Collection


class UserError(ValueError):
    """The user's input cannot be used; the message says what was found and what to do."""


class MissingFileError(UserError, FileNotFoundError):
    """A file or folder that the user named, or that a data set needs, does not exist."""


class MissingPackageError(UserError, ImportError):
    """An optional package is not installed; the message says which extra to install."""


class NotFiniteError(UserError, FloatingPointError):
    """A loss or a prediction is NaN or infinite, because of the weights or the learning rate."""


def is_user_error(error: BaseException) -> bool:
    """Whether the error's message alone tells the user what to change."""
    return isinstance(error, UserError | OSError)


def message_of(error: BaseException) -> str:
    """The error's message on one line."""
    return one_line(str(error))


def one_line(text: str) -> str:
    """The text with line breaks replaced by spaces; spaces inside a line are kept."""
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def check_choice(field: str, value: object, choices: Collection[str]) -> None:
    """Raises a UserError that lists the valid values unless `value` is one of them."""
    if value not in choices:
        raise UserError(f"{field} is {value!r}; choose one of: {', '.join(choices)}")
