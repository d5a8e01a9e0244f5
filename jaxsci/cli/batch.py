"""What batch systems need of the command: an end in time when they ask for it, and lines instead of bars."""

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from jaxsci.errors import StopTraining

REQUEUE = 75  # the exit code EX_TEMPFAIL of sysexits.h: run the same again, later
GRACE = (
    8.0  # seconds to reach a step at which a checkpoint can be written; batch systems often kill after ten or thirty
)
STOPPED = "stopped by SIGTERM; what was finished is kept, go on with --resume (training) or the same command"


# A process has one set of signals.
_came = threading.Event()  # SIGTERM
_interrupted = threading.Event()  # SIGINT


def stop_if_asked() -> None:
    """Raise StopTraining if SIGTERM came, KeyboardInterrupt if Ctrl-C did.

    Where Python calls back from the garbage collector or a destructor, it drops a KeyboardInterrupt: this one is heard all the same.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt
    if _came.is_set():
        raise StopTraining(STOPPED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


@contextmanager
def termination() -> Iterator[None]:
    """Take SIGTERM as a wish that `stop_if_asked` hears; what does not end by itself within `GRACE` seconds is ended.

    Python hears a signal between two of its own operations; a thread of ours hears it also while the compiler works.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may listen
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    over = threading.Event()
    threading.Thread(target=_watch, args=(reader, over), daemon=True).start()
    _came.clear()
    _interrupted.clear()
    before = signal.signal(signal.SIGTERM, lambda number, frame: _came.set())
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:  # whoever ignores Ctrl-C, as nohup does, goes on ignoring it
        signal.signal(signal.SIGINT, _interrupt)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
        os.close(writer)


def _watch(reader: int, over: threading.Event) -> None:
    with open(reader, "rb", buffering=0) as signals:
        while came := signals.read(1):
            if came[0] == signal.SIGTERM and not over.wait(GRACE):
                print(STOPPED, file=sys.stderr, flush=True)
                os._exit(REQUEUE)


@contextmanager
def lines() -> Iterator[None]:
    """Write what the library logs to the error stream, a line each with the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("jaxsci")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False  # to the handlers of other libraries, which would write the line again
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def pipe_closed() -> None:
    """End in silence where what reads the output has ended, as `head` does; the status is that of a process ended by SIGPIPE."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(128 + signal.SIGPIPE)


def allow_any_text() -> None:
    """Let the standard output take all names: those that are no text as they are, and signs that it does not have as question marks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding.lower() == "utf-8" else "replace")
