"""Checkpoints after or within an epoch, whole or absent, by Orbax."""

from jaxsci.training.checkpoint._content import FILES as FILES
from jaxsci.training.checkpoint._content import Begun, Restored
from jaxsci.training.checkpoint._content import Record as Record
from jaxsci.training.checkpoint._reading import abstract_state, clear, latest, restore
from jaxsci.training.checkpoint._saver import Saver as Saver
from jaxsci.training.checkpoint._writing import Writer, save

__all__ = ["Begun", "Restored", "Writer", "abstract_state", "clear", "latest", "restore", "save"]
