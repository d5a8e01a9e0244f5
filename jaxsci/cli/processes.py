"""Several processes that train one run: how they find each other, and how they end."""

import os
import re
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from jaxsci.cli.arguments import Place
from jaxsci.cli.batch import REQUEUE
from jaxsci.errors import InputError

# The exit code EX_CONFIG of sysexits.h: one of several processes ended by an error of its own, and would when it is started again. Batch
# systems take the largest code of a job's processes as that of the job: this one counts, and not the REQUEUE of those that only lost it.
OWN_ERROR = 78
HEARTBEAT = 30  # seconds without a sign of life after which a process counts as lost
_STATUS = re.compile(r"(?:UNKNOWN|UNAVAILABLE|INTERNAL|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): ")

_joined: list[int] = []  # which process of several this is


def joined_as_other() -> bool:
    """Whether this is a process of several, and not the first, which alone speaks."""
    return any(_joined)


def leave(code: int) -> NoReturn:
    """End this process after an error; one of several at once, since an orderly end would wait for all others, with OWN_ERROR for 2."""
    if _joined:
        sys.stderr.flush()
        os._exit(OWN_ERROR if code == 2 else code)
    raise SystemExit(code)


def leave_with_traceback() -> None:
    """End one of several processes after a mistake of the program; a process alone is left to Python."""
    if _joined:
        traceback.print_exc()
        leave(2)


def several(place: Any) -> bool:
    """Whether the options ask for several processes."""
    return isinstance(place, Place) and (place.distributed or _named(place))


def _named(place: Place) -> bool:
    """Whether the options themselves say where the other processes are."""
    return any(value is not None for value in (place.coordinator, place.processes, place.process))


@contextmanager
def joined(place: Place) -> Iterator[Place]:
    """Join the other processes. Every one but the first gets a folder of its own for new runs, which nobody will see."""
    import jax

    seconds = place.coordinator_timeout
    options: dict[str, Any] = {"initialization_timeout": seconds + 60, "heartbeat_timeout_seconds": HEARTBEAT}
    where = "the coordinator that the batch system names"
    if _named(place):  # also beside --distributed, which asks the batch system otherwise
        where = _check(place)
        options |= {"coordinator_address": where, "num_processes": place.processes, "process_id": place.process}
        if place.process:
            _await(where, seconds)
    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is for `cli.batch`
    met = threading.Timer(seconds, _nobody_came, (where, seconds))  # JAX itself would abort with a stack trace
    met.daemon = True
    met.start()
    try:
        jax.distributed.initialize(**options)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"--distributed: expected a batch system that says where the other processes are, but {_first_line(error)}; "
            "give --coordinator, --processes and --process"
        ) from error
    finally:
        met.cancel()
    from jaxsci.runs.training import OtherProcess

    _joined.append(jax.process_index())
    try:
        if jax.process_index() == 0:
            yield place
        else:
            with tempfile.TemporaryDirectory() as scratch, suppress(OtherProcess):
                yield Place(**{**vars(place), "runs": Path(scratch)})
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if not of_another(error):
            raise
        message = f"another process of this job ended ({_first_line(error)}); start all of them again with --resume"
        print(f"error: {message}", file=sys.stderr)
        leave(REQUEUE)


def of_another(error: Exception) -> bool:
    """Whether an exchange failed because another process had ended; not an error of this one, which would come again.

    JAX raises its own error, or a ValueError where the exchange fails at its start; both begin with the word of a status of XLA. A lack of
    memory is that of this process.
    """
    import jax

    if isinstance(error, jax.errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" not in str(error)
    return type(error) is ValueError and _STATUS.match(str(error)) is not None


def _check(place: Place) -> str:
    """The address, once the three options fit each other."""
    address, processes, process = place.coordinator, place.processes, place.process
    if address is None or processes is None or process is None:
        raise InputError(
            "--coordinator, --processes, --process: expected all three or none of them; or give --distributed in a batch system"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"--coordinator: expected HOST:PORT, got {address}; give such as node7:12345")
    if not 0 <= process < processes:
        raise InputError(f"--process: expected a number from 0 to {processes - 1}, got {process}; they count from 0")
    return address


def _await(address: str, seconds: float) -> None:
    """Wait until somebody listens there."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=max(0.1, end - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"--coordinator: expected an answer from {address} within {seconds} s, got none ({error}); check the address, and "
                    "that process 0 runs there"
                ) from error
            time.sleep(0.2)


def _nobody_came(where: str, seconds: int) -> None:
    message = f"--coordinator: expected all processes to meet at {where} within {seconds} s, but some did not come"
    print(f"error: {message}; start all of them with the same address and number", file=sys.stderr, flush=True)
    os._exit(2)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
