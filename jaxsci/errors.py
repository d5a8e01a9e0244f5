"""The exception a user is meant to read, and the one that ends a training early."""

__all__ = ["InputError", "StopTraining"]

_LONGEST = 2000  # characters of a message


class InputError(ValueError):
    """A file, option or array from the user cannot be used.

    The message is one line and says what was expected, what was found, and the remedy. The command prints it and exits with code 2;
    a traceback is shown only with `--debug`. Whatever of a name or a file in it cannot be printed, such as a line break or the sequences
    that move a terminal's cursor, is written as an escape (the two characters backslash and n); of a very long one the middle is left out.
    """

    def __init__(self, message: object = "") -> None:
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(message))
        super().__init__(text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}")


class StopTraining(Exception):
    """Raised by a function that `fit` reports its progress to: the training writes a checkpoint and ends with this exception."""
