"""The options of `jaxsci train table`: its fields are the options, their docstrings the help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from tyro.conf import arg


@dataclass(frozen=True)
class Options:
    """Predict a column of a table from its other columns, by an ensemble of dense networks."""

    data: Annotated[Path | None, arg(metavar="FILE")] = None
    """.csv, .npz or .root with a name for each column."""
    target: Annotated[str | None, arg(metavar="COLUMN")] = None
    """The column to predict."""
    validation: Annotated[Path | None, arg(metavar="FILE")] = None
    """Rows that choose the epoch, with the columns of --data; default: drawn at random from --data."""
    test: Annotated[Path | None, arg(metavar="FILE")] = None
    """Rows for the evaluation, never used for any choice; default: drawn at random from --data."""
    kind: Literal["auto", "classification", "regression"] = "auto"
    """auto: classes for text and for at most 10 different whole numbers, else a regression."""
    weights: Annotated[str | None, arg(metavar="COLUMN", aliases=("--weight-column",))] = None
    """Column with the weight of each row, at least 0."""
    groups: Annotated[str | None, arg(metavar="COLUMN")] = None
    """Column whose equal entries stay in one part of the split."""
    ignore: Annotated[tuple[str, ...], arg(metavar="COLUMN")] = ()
    """Columns that are left out."""
    categorical: Annotated[tuple[str, ...], arg(metavar="COLUMN")] = ()
    """Columns of numbers that are names of categories."""
    folds: Annotated[int | None, arg(metavar="K")] = None
    """Cross-validation: K trainings, each tested on another K-th of the rows; no network is kept for predictions."""
    members: int = 5
    """Networks in the ensemble; the spread of their answers comes with the prediction."""
    epochs: int = 50
    """Passes over the training rows at most."""
    batch_size: int = 128
    """Rows a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of AdamW."""
    patience: Annotated[int, arg(metavar="N")] = 10
    """Stop after so many epochs without a lower validation loss."""
    seed: int = 1
    """Of the split, the initial weights and the order."""
    swept: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay", "batch_size")
