"""How far a command has come, on the error stream: bars where someone watches, lines of log elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from jaxsci.cli import batch, processes
from jaxsci.runs.task import OnProgress

_KEPT = ("note: ", "warning: ")  # words of progress that stay


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """A bar a stage on the error stream, with the time it took or still takes; lines of log where nobody watches bars."""
    if not sys.stderr.isatty() or processes.joined_as_other():
        with batch.lines() if not processes.joined_as_other() else nullcontext():
            yield _logged
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        stages: dict[str, Any] = {}

        def progress(stage: str, fraction: float, words: str) -> None:
            batch.stop_if_asked()
            if words.startswith(_KEPT):
                bars.console.print(words, markup=False, highlight=False, soft_wrap=True)
                words = ""
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=1.0, words=words)
            bars.update(stages[stage], completed=fraction, words=words)

        yield progress


def _logged(stage: str, fraction: float, words: str) -> None:
    """What a stage came to, as a line of log; of epochs the training writes lines itself."""
    batch.stop_if_asked()
    if words.startswith(_KEPT) or (fraction >= 1 and words and not words.startswith("epoch ")):
        logging.getLogger("jaxsci").info("%s: %s", stage, words)
