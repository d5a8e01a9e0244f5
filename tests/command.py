"""What the tests of the command share."""

import re

import h5py
import pytest

from jaxsci.cli.main import main


def refused(capsys, *arguments):
    """Run a command that must end with exit code 2 and one line of error; returns the line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "Traceback" not in line
    return line


def requests_of(page):
    """What of a page looks like an address, but for links to publications, which only the reader follows."""
    return re.findall(r"http(?!-equiv)\S*", re.sub(r'<a href="https://(doi|arxiv)\.org/[^"]*">', "", page))


def write_jets(path, constituents, labels):
    """Write a file of jets; its path as text."""
    with h5py.File(path, "w") as file:
        file["constituents"], file["labels"] = constituents, labels
    return str(path)
