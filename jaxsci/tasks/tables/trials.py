"""The network of a table as it is trained with other options, for a sweep."""

from jaxsci.core import Batch
from jaxsci.runs.task import OnProgress, Trial
from jaxsci.tasks import folds
from jaxsci.tasks.parts import compare
from jaxsci.tasks.tables import networks
from jaxsci.tasks.tables.options import Options
from jaxsci.tasks.tables.rows import Meaning, as_batch, class_count, marks, read, take
from jaxsci.training import Settings

__all__ = ["parts", "trial"]


def parts(options: Options, progress: OnProgress) -> tuple[tuple[Meaning, int], tuple[Batch, Batch]]:
    """What the columns mean with the number of training rows, and the rows that train and that choose."""
    folds.refuse_in_sweep(options)
    meaning, data, splits = read(options, progress, None)
    compare(options, marks(options, data.rows), splits, "rows", progress)
    train, validation, _ = splits
    chosen = as_batch(meaning, take(data, train)), as_batch(meaning, take(data, validation))
    return (meaning, len(train)), chosen


def trial(options: Options, prepared: tuple[Meaning, int]) -> Trial:
    """A network as it is trained with other options."""
    meaning, examples = prepared
    classes = class_count(meaning)
    model = networks.network(meaning.columns, classes)
    settings = Settings(options.epochs, min(options.batch_size, examples), options.patience)
    loss = "squared error of the standardized target" if classes is None else "cross entropy"
    return Trial(
        lambda hyper: networks.recipe(options, model, classes, examples, hyper),
        settings,
        loss,
        networks.keys(options)[0],
    )
