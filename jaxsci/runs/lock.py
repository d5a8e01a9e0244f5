"""One job at a time in a run folder."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxsci.errors import InputError

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which the system releases when the process ends, however it ends.

    Raises:
        InputError: another job holds it.
    """
    import fcntl  # which Windows lacks

    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "another job"
            raise InputError(
                f"{folder}: expected a run that no other job writes, but {owner} does; wait until it ends, or stop it"
            ) from error
        except OSError as error:  # some network file systems have no locks
            words = "%s: no lock on this file system (%s); make sure that no other job writes this run"
            logging.getLogger("jaxsci").warning(words, folder, error.strerror)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
