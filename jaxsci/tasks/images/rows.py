"""The images of a run: read, put into parts, and made the batches of a network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import jax
import numpy as np

from jaxsci.core import Batch
from jaxsci.data import images
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.task import OnProgress
from jaxsci.tasks import own_network, parts
from jaxsci.tasks.images.options import MODELS, Options

NAME = "images"
_SCALES = 16  # a ratio of pixels beyond which images are on another scale
FRACTIONS = (0.7, 0.1, 0.2)  # training, validation, test

Given: TypeAlias = tuple[images.LabeledImages, parts.Splits]


def take(sample: images.LabeledImages, indices: np.ndarray) -> images.LabeledImages:
    """The images of these indices."""
    return sample._replace(x=sample.x[indices], y=sample.y[indices], part=None)


def unit_of(config: Mapping[str, Any]) -> int | None:
    """What the whole numbers of a run's images were divided by; None for a run that was written before this was noted."""
    unit: int | None = config.get("data", {}).get("unit")
    return unit


def top_of(x: np.ndarray) -> float:
    """The largest pixel of the image in the middle: the scale of some images."""
    return float(np.median([np.abs(image).max() for image in x[:1000]]))


def warn_of_scale(path: Path, x: np.ndarray, config: Mapping[str, Any], progress: OnProgress) -> None:
    """Say where images are on another scale than those of training, as 0 to 255 for 0 to 1."""
    trained, top = config["data"].get("top"), top_of(x)
    if trained and not trained / _SCALES < top < trained * _SCALES:
        words = f"warning: {path} has images with pixels up to {top:.3g}, those of training up to {trained:.3g}; give them on one scale"
        progress("reading images", 0.5, words)


def read_again(folder: Path, options: Options, progress: OnProgress) -> Given:
    """The images of a run as it was trained on them.

    Raises:
        InputError: they are no longer those, or their classes have other names.
    """
    sample, splits = read(options, progress, unit=unit_of(runs.read_config(folder)))
    _require_same(folder, sample)
    return sample, splits


def read(options: Options, progress: OnProgress, *, unit: int | None = None) -> Given:
    """Read the images of a run, those of all its files one after the other, and which of them are its parts; `unit` as in `images.read`."""
    runs.require_positive(
        options, "latent", "epochs", "batch_size", "learning_rate", "patience", or_zero=("weight_decay",)
    )
    if options.data is None:
        raise InputError(
            "--data: expected a file of images, got none; give an .npz or HDF5 file with x and y, or gzipped IDX images"
        )
    progress("reading images", 0.0, "")
    own = parts.files(options)
    sample = images.read(options.data, options.labels, unit=unit)
    others = {
        name: images.read(path, classes=sample.classes, unit=sample.unit, names=sample.names)
        for name, path in own.items()
    }
    require_heeded(options, sample.classes)
    if names := images.unused(options.data):
        progress("reading images", 0.5, f"note: {options.data} has {', '.join(names)[:200]}, not used")
    shape = list(sample.x.shape[1:])
    if len(set(shape)) == 1 and shape[0] > 4:
        note = f"note: {options.data} has arrays {shape}, taken as images of {shape[0]} channels, not as volumes"
        progress("reading images", 0.5, note)
    elif shape[1] == shape[2] > 4:
        note = f"note: {options.data} has arrays {shape}, taken as images of {shape[2]} channels; transpose them where channels come first"
        progress("reading images", 0.5, note)
    for path, found in zip((options.data, *own.values()), (sample, *others.values()), strict=True):
        of_shape(path, found.x, sample.x.shape[1:])
        if own and found.part is not None:
            raise InputError(
                f"{path}: expected images without parts of their own beside --{next(iter(own))}, got some for training and test; leave "
                "out one of both"
            )

    def draw(fractions: tuple[float, float, float]) -> parts.Splits:
        return images.parts(sample, seed=options.seed, fractions=fractions)

    validation, test = (len(others[name].y) if name in others else 0 for name in parts.NAMES[1:])
    lengths = len(sample.y), validation, test
    splits = parts.splits(lengths, seed=options.seed, fractions=FRACTIONS, draw=draw)
    whole = sample
    if own:
        x, y = (np.concatenate([getattr(each, name) for each in (sample, *others.values())]) for name in "xy")
        whole = sample._replace(x=x, y=y)
    progress("reading images", 1.0, f"{len(whole.x):,} images of {sample.classes} classes")
    if options.threshold is not None:
        second = "class 1" if sample.names is None else sample.names[1]
        progress("reading images", 1.0, f"note: {second} is the answer from a probability of {options.threshold:g} on")
    return whole, splits


def _require_same(folder: Path, sample: images.LabeledImages) -> None:
    """Raise InputError where the images of a run are no longer those it was trained on, or their classes have other names."""
    seen.require_same(folder, weights.digest(sample.x, sample.y))
    names = runs.read_config(folder)["data"].get("names")
    if names is not None and sample.names is not None and (got := list(sample.names)) != names:
        raise InputError(
            f"{folder}: expected images of classes {', '.join(names)[:100]} as in training, got {', '.join(got)[:100]}; put them back, or "
            "train a new run"
        )


def as_batch(options: Options, sample: images.LabeledImages, rows: np.ndarray) -> Batch:
    """The images of these rows; the target is the class, or for the autoencoder the image itself."""
    x = sample.x[rows]
    target = x if options.model == "autoencoder" else sample.y[rows]
    weight = np.ones(len(rows), np.float32)
    if options.balance:
        counts = np.bincount(sample.y[rows], minlength=sample.classes)
        weight = (len(rows) / (np.count_nonzero(counts) * counts[sample.y[rows]])).astype(np.float32)
    return Batch(x, *jax.device_put((target, weight)))


def require_heeded(options: Options, classes: int) -> None:
    """Raise InputError for options of classification that would be ignored, or a threshold that cannot be."""
    if options.balance and options.model == "autoencoder":
        raise InputError("--balance: expected a classifier, got an autoencoder, which has no classes; leave it out")
    if options.threshold is None:
        return
    if options.model == "autoencoder" or classes != 2:
        got = "an autoencoder" if options.model == "autoencoder" else f"{classes}"
        raise InputError(f"--threshold: expected a classifier of two classes, got {got}; leave it out")
    if not 0 < options.threshold < 1:
        raise InputError(
            f"--threshold: expected a probability between 0 and 1, got {options.threshold}; leave it out for 1/2"
        )


def read_options(folder: Path) -> Options:
    """The options a run was started with; a network of the user's own is then the copy in the run folder."""
    options = runs.read_options(folder, NAME, Options, ("data", "labels", "validation", "test"))
    if options.model in MODELS:
        return options
    kept = runs.read_config(folder).get("data", {}).get("network")
    if kept is None:
        raise InputError(
            f"{folder / 'config.json'}: expected a model of {', '.join(MODELS)}, got {options.model}; copy the run again"
        )
    return replace(options, model=own_network.kept(folder, kept))


def of_shape(where: object, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The images, or InputError where they have another shape than those of the run."""
    if x.shape[1:] != shape:
        raise InputError(
            f"{where}: expected images of the run's shape {shape}, got {x.shape[1:]}; resize them or train anew"
        )
    return x
