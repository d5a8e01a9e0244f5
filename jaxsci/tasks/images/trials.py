"""Networks on images as they are trained with other options, for a sweep."""

from jaxsci.core import Batch
from jaxsci.runs import seen
from jaxsci.runs.task import Execution, OnProgress, Trial
from jaxsci.tasks import ensembles
from jaxsci.tasks.images.networks import Network, make_recipe, network
from jaxsci.tasks.images.options import MODELS, Options
from jaxsci.tasks.images.rows import as_batch, read
from jaxsci.tasks.parts import compare
from jaxsci.training import Settings

__all__ = ["own", "parts", "trial"]


def parts(options: Options, progress: OnProgress) -> tuple[tuple[Network, int], tuple[Batch, Batch]]:
    """The network with the number of training images, and the images that train and that choose."""
    ensembles.require(options.members, Execution())
    sample, splits = read(options, progress)
    compare(options, seen.hashes(sample.x), splits, "images", progress)
    train, validation, _ = splits
    built = network(options, sample.x.shape[1:], sample.classes)
    return (built, len(train)), (as_batch(options, sample, train), as_batch(options, sample, validation))


def own(options: Options) -> str | None:
    """The name of the network, where it is none of the library."""
    return None if options.model in MODELS else options.model


def trial(options: Options, prepared: tuple[Network, int]) -> Trial:
    """A network as it is trained with other options."""
    built, examples = prepared
    settings = Settings(options.epochs, min(options.batch_size, examples), options.patience)
    key = ensembles.first_key(options.seed, options.members)
    loss = "mean squared error" if options.model == "autoencoder" else "cross entropy"
    return Trial(lambda hyper: make_recipe(options, built, examples, hyper), settings, loss, key)
