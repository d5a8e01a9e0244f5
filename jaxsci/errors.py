"""The one exception a user is meant to read."""

__all__ = ["InputError"]


class InputError(ValueError):
    """A file, option or array from the user cannot be used.

    The message is one line and says what was expected, what was found, and the remedy. The command prints it and exits with code 2;
    a traceback is shown only with `--debug`.
    """
