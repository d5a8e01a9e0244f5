"""The options of a benchmark: mistakes in one line with what was perhaps meant, and help no wider than the terminal."""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxsci.cli.mistakes import perhaps, wrapped


class _Paragraphs(argparse.HelpFormatter):
    """Each paragraph of a description filled by itself."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = [super(_Paragraphs, self)._fill_text(part, width, indent) for part in text.strip().split("\n\n")]
        return "\n\n".join(parts)


def _typed() -> str | None:
    """`jaxsci bench NAME` where that was typed."""
    words = [word for word in sys.argv[1:] if word != "--debug"]
    return f"jaxsci bench {words[1]}" if words[:1] == ["bench"] and len(words) > 1 else None


class Parser(argparse.ArgumentParser):
    """A parser of the options of `python -m benchmarks.NAME`, which is also `jaxsci bench`."""

    def __init__(self, name: str, description: str) -> None:
        """A parser without options yet.

        Args:
            name: of the module in the folder `benchmarks`.
            description: for the top of the help.
        """
        super().__init__(
            prog=_typed() or f"python -m benchmarks.{name}",
            description=description,
            formatter_class=_Paragraphs,
            allow_abbrev=False,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The options; ends the process with 2 and one line where there is another."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            wrong = next((word for word in rest if word.startswith("-")), rest[0]).partition("=")[0]
            known = {option.lstrip("-"): option for option in self._option_string_actions if option.startswith("--")}
            meant = perhaps(wrong.lstrip("-").replace("_", "-"), known, "--") if wrong.startswith("-") else ""
            self._end(f"expected one of its options, got {wrong}; {meant}")
        return found

    def format_help(self) -> str:
        """The help, with choices of many names broken at their commas."""
        width = shutil.get_terminal_size().columns
        return "".join(f"{wrapped(line, width)}\n" for line in super().format_help().splitlines())

    def error(self, message: str) -> NoReturn:
        """End the process with 2 and one line."""
        text = re.sub(r"^argument (\S+): ", r"\1: ", " ".join(message.split()))
        self._end(f"{text}; ")

    def _end(self, message: str) -> NoReturn:
        self.exit(2, f"error: {self.prog}: {message}see {self.prog} --help\n")
        raise AssertionError  # exit does not return
