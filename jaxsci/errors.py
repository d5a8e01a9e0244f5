"""The exception a user is meant to read, and the one that ends a training early."""

__all__ = ["InputError", "StopTraining"]


class InputError(ValueError):
    """A file, option or array from the user cannot be used.

    The message is one line and says what was expected, what was found, and the remedy. The command prints it and exits with code 2;
    a traceback is shown only with `--debug`.
    """


class StopTraining(Exception):
    """Raised by a function that `fit` reports its progress to: the training writes a checkpoint and ends with this exception."""
