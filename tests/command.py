"""What the tests of the command share."""

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
