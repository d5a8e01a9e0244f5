"""A tagger with its jets: what is trained, on which of them, and how."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.core import Batch, Inputs, Key, Model, Params, StatefulModel, Stream
from jaxsci.data import jets
from jaxsci.data.jets import images as jet_images
from jaxsci.data.reading import free_memory
from jaxsci.errors import InputError
from jaxsci.losses import binary_cross_entropy, correct, cross_entropy, objective_for
from jaxsci.models.heads import inference
from jaxsci.runs import binary_evaluation, seen, weights
from jaxsci.runs import folder as runs
from jaxsci.runs.task import OnProgress, Session, silent
from jaxsci.runs.training import require_devices
from jaxsci.tasks import ensembles, folds, own_network, parts
from jaxsci.tasks.study import noise
from jaxsci.tasks.top_tagging import own, samples, taggers
from jaxsci.tasks.top_tagging.options import DEFAULT, Options
from jaxsci.tasks.top_tagging.samples import Tested, class_names, contents, labels_of, shapes, take, unused_weights
from jaxsci.tasks.top_tagging.taggers import Spec, Tagger, scaling
from jaxsci.tasks.top_tagging.taggers.scaling import Scaling
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine

NAME = "top-tagging"
_SAID = 0.01  # the part of the pT outside the images from which the terminal says so


@dataclass(frozen=True, eq=False)
class Job:
    """A tagger with its jets, ready to train or to be evaluated; of a `streamed.StreamedJob` they stay in their files."""

    options: Options
    tagger: Tagger
    sample: jets.JetSample
    splits: parts.Splits  # indices of training, validation, test
    scaling: Scaling | None = None  # of the inputs; part of the tagger already

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return self.tagger.classes

    def hashes(self) -> np.ndarray:
        """Of the content of each jet, uint64 [jet]."""
        return seen.hashes(contents(self.sample))

    def described(self) -> dict[str, Any]:
        """What the jets are: files, number, and a digest by which runs on the same jets are known."""
        options, sample = self.options, self.sample
        return {
            "file": "embedded" if options.data is None else str(options.data),
            "jets": len(labels_of(sample)),
            "pixels": None if sample.images is None else list(sample.images.shape[1:]),
            "constituents": shapes(sample)[1],
            "digest": weights.digest(*(sample if sample.weights is not None else sample[:3])),
            **({"classes": self.names} if options.class_names is not None else {}),
            **({"unused_weights": names} if (names := unused_weights(options.data, options.weights)) else {}),
        }

    def examples(self, progress: OnProgress) -> tuple[Batch | Stream, Batch]:
        """The jets that train and those that choose the epoch, as the tagger takes them."""
        return _part(self, 0, progress), _part(self, 1, progress)

    def tested(self, params: Params, progress: OnProgress) -> Tested:
        """What the tagger with these parameters says of the test part."""
        answering = ensembles.answering(inference(self.tagger.model), params, self.options.members)
        return samples.tested(take(self.sample, self.splits[2]), answering(_part(self, 2, progress).x))


def _part(job: Job, number: int, progress: OnProgress) -> Batch:
    rows = job.splits[number]
    chosen, own = take(job.sample, rows), binary_evaluation.relative(job.sample.weights, job.splits[0])
    inputs, each = make_inputs(job.tagger, chosen, progress), np.arange(len(rows))
    return as_batch(inputs, labels_of(chosen), each, None if own is None else own[rows], classes=len(job.names))


def prepare(options: Options, progress: OnProgress, config: dict[str, Any] | None = None) -> Job:
    """Read and split the jets and build the tagger, with the scaling of the run of this config, or that of the jets for a new run."""
    progress("reading jets", 0.0, "")
    if options.data is not None:
        _require_memory(options, [options.data, *parts.files(options).values()])
    sample, splits = samples.read(options, progress)
    tagger = make_tagger(options, *shapes(sample))
    check_inputs(tagger, sample)
    say_outside(tagger, sample, progress)
    jax.eval_shape(tagger.model.init, jax.random.key(0))  # raises where the network does not fit the images
    if config is not None:
        scale = scaling.of_run(config)
    elif tagger.scaled and sample.constituents is not None:
        scale = scaling.measure(tagger, sample.constituents[splits[0]])
    else:
        scale = None
    return Job(options, scaling.scaled(tagger, scale), sample, splits, scale)


def say_outside(tagger: Tagger, sample: jets.JetSample, progress: OnProgress) -> None:
    """Say how much of the pT of these jets is not in the images that are made of them."""
    if tagger.from_images is not None and sample.constituents is not None:
        share = jet_images.outside(sample.constituents[: taggers.LOOKED_AT])
        if share > _SAID:
            progress(
                "reading jets", 1.0, f"note: {share:.1%} of the pT lies outside the images and is left out of them"
            )


def check(options: Options, *, new: bool = True) -> None:
    """Raise InputError for options that cannot be, and of a new run for those that would be ignored."""
    names = ("epochs", "batch_size", "patience", "max_jets", "learning_rate")
    runs.require_positive(options, *names, or_zero=("weight_decay",))
    folds.require(options)
    for option, given in (("--stream", options.stream), ("--members", options.members > 1)):
        if options.folds is not None and given:
            raise InputError(f"{option}: expected one network on jets in memory with --folds, got both; leave one out")
    if not new:  # those of earlier versions may have what is ignored
        return
    own.require_heeded(options)
    if options.folds is not None and options.signal_class is not None:
        raise InputError(
            f"--signal-class: expected none with --folds, whose page has no rejections of several classes, got {options.signal_class}; "
            "leave out one of both"
        )


def _require_memory(options: Options, files: Sequence[Path]) -> None:
    """Raise InputError where the jets and their inputs do not fit into memory, before they are read."""
    source = files[0]
    images, (_, *shape) = jets.form(source)
    number = sum(min(count, options.max_jets or count) for count in map(jets.count, files))
    tagger = make_tagger(options, tuple(shape) if images else None, None if images else shape[0])
    own = 4 * math.prod(shape)
    # The inputs, and what the training holds of them on its device.
    size = number * (own + 2 * bytes_of(inputs_of_nothing(tagger, images, shape)))
    free = free_memory()
    if free is not None and size > free:
        raise InputError(
            f"{source}: expected {size / 2**30:.1f} GiB of free memory for {number:,} jets and their inputs, got {free / 2**30:.1f} GiB; "
            "add --stream, which reads them block by block, or --max-jets N"
        )


def inputs_of_nothing(tagger: Tagger, images: bool, shape: Sequence[int]) -> Inputs:
    """The inputs of one jet of this shape, whose content is of no interest."""
    jet = np.zeros((1, *shape), np.float32)
    jet[:, 0] = 1.0
    sample = jets.JetSample(None, jet, None) if images else jets.JetSample(jet, None, None)
    return make_inputs(tagger, sample, silent)


def bytes_of(tree: Any) -> int:
    """Of all its arrays."""
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))


def make_tagger(options: Options, pixels: tuple[int, ...] | None, constituents: int | None) -> Tagger:
    """The tagger of these options for jets of these `shapes`."""
    height, width = pixels or taggers.PIXELS
    precision = None if options.precision == "float32" else options.precision  # None is float32 too
    classes = class_names(options.class_names, options.signal_class)
    spec = Spec(precision, (height, width), classes, options.remat)
    if options.model is None:
        return taggers.tagger(options.tagger or DEFAULT, spec)
    return replace(own.tagger(options, spec, constituents), name=own_network.name(options.model), classes=classes)


def make_recipe(job: Job, hyper: Mapping[str, Any] | None = None) -> tuple[Recipe, Settings]:
    """Cross entropy by AdamW with warm-up, a cosine decay over all epochs, and clipped gradients.

    Args:
        job: the tagger and its jets, of which the number counts.
        hyper: "learning_rate" and "weight_decay" of a trial, which may be traced; those that are absent are the job's.
    """
    options, tagger, examples = job.options, job.tagger, len(job.splits[0])
    settings, parts_of = make_settings(options, tagger, examples), tagger.defaults.microbatches
    steps = settings.epochs * steps_per_epoch(examples, settings.batch_size)
    microbatches = parts_of if settings.batch_size % parts_of == 0 else 1
    augment = tagger.augment if options.augment else None
    chosen = {**_rates(job), **(hyper or {})}
    make = _recipe if hyper is None else _recipe.__wrapped__  # what is traced has no hash
    recipe = make(tagger.model, len(job.names) == 2, augment, microbatches, steps, **chosen)
    return noise.recorded(recipe) if options.gradient_noise else recipe, settings


def make_settings(options: Options, tagger: Tagger, examples: int) -> Settings:
    """For how long a tagger is trained on so many jets, and how many of them are a batch."""
    epochs, batch_size = (options.epochs or tagger.defaults.epochs), (options.batch_size or tagger.defaults.batch_size)
    return Settings(epochs=epochs, batch_size=min(batch_size, examples), patience=options.patience)


@lru_cache(maxsize=32)  # of one network one recipe, whose programs are compiled once
def _recipe(
    model: Model | StatefulModel,
    binary: bool,
    augment: Callable[[Key, Inputs], Inputs] | None,
    microbatches: int,
    steps: int,
    learning_rate: Any,
    weight_decay: Any,
) -> Recipe:
    optimizer = adamw(learning_rate, weight_decay=weight_decay, schedule=warmup_cosine(steps), clip=1.0)
    example_loss = binary_cross_entropy if binary else cross_entropy
    loss = objective_for(model, example_loss, metrics={"accuracy": correct})
    return Recipe(model, loss, optimizer, augment, microbatches)


def _rates(job: Job) -> dict[str, float]:
    """Learning rate and weight decay, those of the tagger where the user chose none."""
    options, defaults = job.options, job.tagger.defaults
    decay = defaults.weight_decay if options.weight_decay is None else options.weight_decay
    return {"learning_rate": options.learning_rate or defaults.learning_rate, "weight_decay": decay}


def make_inputs(tagger: Tagger, sample: jets.JetSample, progress: OnProgress, chunk: int = 10_000) -> Inputs:
    """The tagger's inputs of all jets, computed in chunks of bounded memory."""
    check_inputs(tagger, sample)
    if sample.images is not None:
        assert tagger.from_images is not None
        return tagger.from_images(sample.images)
    assert sample.constituents is not None
    number, inputs = len(sample.constituents), None
    for first in range(0, number, chunk):
        progress("preparing inputs", first / number, "")
        part = tagger.inputs(sample.constituents[first : first + chunk])
        if inputs is None:  # one array for all: the memory of a part serves the next
            inputs = jax.tree.map(lambda leaf: np.empty((number, *leaf.shape[1:]), leaf.dtype), part)
        for whole, leaf in zip(jax.tree.leaves(inputs), jax.tree.leaves(part), strict=True):
            whole[first : first + len(leaf)] = leaf
    progress("preparing inputs", 1.0, "")
    return inputs


def check_inputs(tagger: Tagger, sample: jets.JetSample) -> None:
    """Raise InputError where the jets are images that the tagger cannot take, or of another size."""
    if sample.images is None:
        return
    if tagger.from_images is None:
        raise InputError(
            "--tagger: expected one that takes images, such as cnn, for a file of images; the others need constituents"
        )
    if tagger.pixels != sample.images.shape[1:]:
        height, width = sample.images.shape[1:]
        raise InputError(
            f"images: expected {tagger.pixels[0]} x {tagger.pixels[1]} pixels as in training, got {height} x {width}; "
            "rebin them or train anew"
        )


def as_batch(
    inputs: Inputs, labels: np.ndarray, indices: np.ndarray, weights: np.ndarray | None = None, *, classes: int = 2
) -> Batch:
    """The jets of these indices as one batch, of weight 1 each where there are no weights, float32 [jet]."""
    x = jax.tree.map(lambda leaf: leaf[indices], inputs)
    weight = np.ones(len(indices), np.float32) if weights is None else weights[indices]
    return Batch(x, *jax.device_put((labels[indices].astype(np.float32 if classes == 2 else np.int32), weight)))


def hyperparameters(job: Job) -> dict[str, Any]:
    """What was chosen for the user."""
    _, settings = make_recipe(job)
    members = job.options.members
    return {
        "parameters": weights.number(job.tagger.model),
        **({"members": members} if members > 1 else {}),
        "epochs": settings.epochs,
        "batch size": settings.batch_size,
        **{name.replace("_", " "): rate for name, rate in _rates(job).items()},
    }


def new_run(job: Job, split: Mapping[str, Any], session: Session, used: np.ndarray | None = None) -> Path:
    """Make a run folder with what a training begins with: its config, and the user's own network.

    Args:
        job: what is trained.
        split: how its jets were put into parts.
        session: where.
        used: hashes of the training and validation jets, by which an evaluation knows them again.

    Raises:
        InputError: batches of the network cannot be split over the devices asked for.
    """
    options, scale = job.options, job.scaling
    require_devices(job.tagger.model, session.execution)
    with runs.whole_folder(session, NAME, job.tagger.name) as folder:
        data = {**job.described(), "split": split, "scaling": None if scale is None else scale._asdict()}
        if options.model is not None:
            data["network"] = own_network.describe(options.model)
            own_network.keep(folder, options.model)
        runs.write_config(folder, NAME, options, data, hyperparameters(job))
        if used is not None:
            seen.save_hashes(folder, used)
    return folder


def read_options(folder: Path) -> Options:
    """The options a run was started with; a network of the user's own is then the copy in the run folder."""
    return own.of_run(folder, runs.read_options(folder, NAME, Options, ("data", "validation", "test")))
