"""The images of a run, and what a network is trained on."""

import jax.numpy as jnp
import numpy as np

from jaxsci.core import Batch
from jaxsci.data import images
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs.task import OnProgress
from jaxsci.tasks.images.options import Options

__all__ = ["FRACTIONS", "as_batch", "read"]

FRACTIONS = (0.7, 0.1, 0.2)  # training, validation, test


def read(options: Options, progress: OnProgress) -> images.LabeledImages:
    """Read the images of a run."""
    runs.require_positive(
        options, "latent", "epochs", "batch_size", "learning_rate", "patience", or_zero=("weight_decay",)
    )
    if options.data is None:
        raise InputError(
            "--data: expected a file of images, got none; give an .npz or HDF5 file with x and y, or gzipped IDX images"
        )
    progress("reading images", 0.0, "")
    sample = images.read(options.data, options.labels)
    progress("reading images", 1.0, f"{len(sample.x):,} images of {sample.classes} classes")
    return sample


def as_batch(options: Options, sample: images.LabeledImages, rows: np.ndarray) -> Batch:
    """The images of these rows; the target is the class, or for the autoencoder the image itself."""
    x = sample.x[rows]
    target = x if options.model == "autoencoder" else sample.y[rows]
    return Batch(x, jnp.asarray(target), jnp.ones(len(rows)))
