"""When the state of a training is written, and that it is written once."""

import time
from pathlib import Path
from typing import Any

import jax

from jaxsci.training.checkpoint._content import Begun, Record
from jaxsci.training.checkpoint._writing import Writer

LARGEST_SHARE = 0.02  # of the time of a training, which writing checkpoints may take


class Saver:
    """The checkpoints of a training: after every epoch as long as that takes little of the time, or by the clock."""

    def __init__(self, folder: Path | None, minutes: float | None) -> None:
        self.writer = None if folder is None else Writer(folder)
        self.minutes = minutes
        self.last = time.monotonic()
        self.written: tuple[int, int] | None = None  # epochs and steps of the next one in the newest checkpoint
        self.number = 0  # of the newest checkpoint

    def due(self, *, epoch_ends: bool) -> bool:
        """Whether it is time for a checkpoint; of several processes the first knows, which writes it."""
        if self.writer is None or jax.process_index() != 0:
            return False
        passed = time.monotonic() - self.last
        if self.minutes is not None:
            return passed >= 60 * self.minutes
        return epoch_ends and LARGEST_SHARE * passed >= self.writer.seconds

    def save(self, state: Any, history: list[Record], begun: Begun | None = None) -> None:
        """Begin to write a checkpoint, unless the newest is of the same step."""
        place = len(history), 0 if begun is None else begun.steps
        if self.writer is None or place == self.written:
            return
        self.number = max(self.number + 1, len(history))
        self.writer.save(self.number, state, history, begun)
        self.last, self.written = time.monotonic(), place
