"""The options of `jaxsci train images`: its fields are the options, their docstrings the help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import arg

MODELS = ("dense", "cnn", "autoencoder")


@dataclass(frozen=True)
class Options:
    """Classify images of your own, or compress them with an autoencoder."""

    data: Annotated[Path | None, arg(metavar="FILE")] = None
    """.npz or HDF5 with `x` [image, height, width(, channel)] and `y` [image], or `train_images`, `test_labels`, ...; or IDX images. Labels
    are whole numbers from 0, or text, whose classes are in alphabetical order."""
    labels: Path | None = None
    """IDX labels; default: the file beside the images with `labels-idx1` in its name."""
    validation: Annotated[Path | None, arg(metavar="FILE")] = None
    """Images that choose the epoch, as --data has them; default: those of the file's own part, or drawn at random from --data."""
    test: Annotated[Path | None, arg(metavar="FILE")] = None
    """Images for the evaluation, never used for any choice; default likewise."""
    model: Annotated[str, arg(metavar="{dense,cnn,autoencoder,FILE.py:FUNCTION}")] = "cnn"
    """Which network; your own: a function (example_shape, **options) that makes one with an output a class, in a file or installed."""
    model_options: Annotated[tuple[str, ...], arg(metavar="NAME=VALUE")] = ()
    """Options of the function of your own network."""
    latent: int = 8
    """Numbers in the autoencoder's code."""
    epochs: int = 10
    """Passes over the training images at most."""
    batch_size: int = 128
    """Images a step."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of AdamW."""
    members: Annotated[int, arg(metavar="N")] = 1
    """Classifiers that are trained as one ensemble; the mean of their probabilities answers, and their spread comes with it."""
    balance: bool = False
    """Weight the classes equally in the training, where some are rare; what is measured counts every image."""
    threshold: Annotated[float | None, arg(metavar="P")] = None
    """Of two classes, the probability of the second (in alphabetical order where labels are text) from which it is the answer; default:
    1/2."""
    patience: Annotated[int | None, arg(metavar="N")] = None
    """Stop after so many epochs without a lower validation loss; default: train all epochs."""
    gradient_noise: bool = False
    """Record after every epoch how the gradients of 256 validation images scatter; the learning curves show it."""
    seed: int = 1
    """Of the split, the initial weights and the order."""
    swept: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay", "batch_size", "model")

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        if self.model == "autoencoder":
            return dict.fromkeys(("members", "balance", "threshold"), "with --model autoencoder")
        return {"latent": "without --model autoencoder"}
