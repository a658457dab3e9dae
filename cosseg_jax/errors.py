"""The errors that a user's input may cause, told apart from the package's own faults."""


class UserError(ValueError):
    """Something in the user's input is wrong; its message alone, without a traceback, helps."""
