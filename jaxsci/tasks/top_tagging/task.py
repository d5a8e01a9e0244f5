"""Top-quark jets against QCD jets: training, evaluation and prediction of a tagger (arXiv:1902.09914)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Batch, Inputs
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.losses import binary_cross_entropy, correct, objective
from jaxsci.runs import binary_evaluation, scores_file, seen, weights
from jaxsci.runs import folder as runs
from jaxsci.runs.folder import Training
from jaxsci.runs.task import OnProgress, Session, Task, Trained, silent
from jaxsci.tasks.top_tagging import report, taggers
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.taggers import Spec, Tagger
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine
from jaxsci.training import predict as predict_all

NAME = "top-tagging"
FRACTIONS = (0.6, 0.15, 0.25)  # training, validation, test
CLASSES = ("QCD", "top")


class Job(NamedTuple):
    """A tagger with its jets, ready to train or to be evaluated."""

    options: Options
    tagger: Tagger
    sample: jets.JetSample
    splits: tuple[np.ndarray, np.ndarray, np.ndarray]  # indices of training, validation, test


def train(options: Options, session: Session) -> Path:
    """Train a tagger in a new run folder, evaluate it on the test part, and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: the jets or the options cannot be used; no run folder is left behind.
        TrainingDivergedError: the loss became NaN or infinite.
    """
    job = prepare(options, session.progress)
    folder = runs.new_folder(session, NAME, options.tagger)
    runs.write_config(folder, NAME, options, describe(job), _training(job))
    seen.save(folder, _contents(_take(job.sample, np.concatenate(job.splits[:2]))))
    return _train(folder, job, session.progress, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    return _train(folder, prepare(read_options(folder), session.progress), session.progress, resume=True)


def prepare(options: Options, progress: OnProgress) -> Job:
    """Read and split the jets and build the tagger."""
    runs.require_positive(options, "epochs", "batch_size", "patience", "max_jets", "learning_rate")
    progress("reading jets", 0.0, "")
    source = options.data or jets.embedded()
    sample = jets.read(source, limit=options.max_jets)
    labels = labels_of(sample)
    jets.require_both_classes(labels, source)
    progress("reading jets", 1.0, f"{len(labels):,} jets")
    tagger = make_tagger(options, None if sample.images is None else sample.images.shape[1:])
    check_inputs(tagger, sample)
    jax.eval_shape(tagger.model.init, jax.random.key(0))  # raises where the network does not fit the images
    return Job(options, tagger, sample, split(labels, seed=options.seed, fractions=FRACTIONS))


def make_tagger(options: Options, pixels: tuple[int, ...] | None) -> Tagger:
    """The tagger of these options, for images of this height and width; None: for those made of constituents."""
    height, width = pixels or taggers.PIXELS
    precision = None if options.precision == "float32" else options.precision
    return taggers.tagger(options.tagger, Spec(precision, (height, width)))


def _train(folder: Path, job: Job, progress: OnProgress, *, resume: bool) -> Path:
    inputs = make_inputs(job.tagger, job.sample, progress)
    labels = labels_of(job.sample)
    train, validation, test = (as_batch(inputs, labels, indices) for indices in job.splits)
    del inputs  # as large as the three splits together
    recipe, settings = make_recipe(job)
    key = jax.random.key(job.options.seed)
    result = runs.train(folder, Training(recipe, settings, key), (train, validation), resume=resume, progress=progress)
    logits = predict_all(recipe.model.apply, result.params, test.x)
    measured = report.Measured(_take(job.sample, job.splits[2]), logits, "test", None, result.history)
    _evaluate(folder, job.options, measured, progress)
    return folder


def make_recipe(job: Job) -> tuple[Recipe, Settings]:
    """Cross entropy by AdamW with warm-up, a cosine decay over all epochs, and clipped gradients."""
    options, tagger, examples = job.options, job.tagger, len(job.splits[0])
    defaults = tagger.defaults
    settings = Settings(
        epochs=options.epochs or defaults.epochs,
        batch_size=min(options.batch_size or defaults.batch_size, examples),
        patience=options.patience,
    )
    optimizer = adamw(
        options.learning_rate or defaults.learning_rate,
        weight_decay=defaults.weight_decay,
        schedule=warmup_cosine(settings.epochs * steps_per_epoch(examples, settings.batch_size)),
        clip=1.0,
    )
    microbatches = defaults.microbatches if settings.batch_size % defaults.microbatches == 0 else 1
    loss = objective(tagger.model.apply, binary_cross_entropy, metrics={"accuracy": correct})
    return Recipe(tagger.model, loss, optimizer, tagger.augment if options.augment else None, microbatches), settings


def make_inputs(tagger: Tagger, sample: jets.JetSample, progress: OnProgress, chunk: int = 10_000) -> Inputs:
    """The tagger's inputs of all jets, computed in chunks of bounded memory."""
    check_inputs(tagger, sample)
    if sample.images is not None:
        assert tagger.from_images is not None
        return tagger.from_images(sample.images)
    assert sample.constituents is not None
    number = len(sample.constituents)
    parts = []
    for first in range(0, number, chunk):
        progress("preparing inputs", first / number, "")
        parts.append(tagger.inputs(sample.constituents[first : first + chunk]))
    progress("preparing inputs", 1.0, "")
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


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


def as_batch(inputs: Inputs, labels: np.ndarray, indices: np.ndarray) -> Batch:
    """The jets of these indices as one batch of weight 1 each."""
    x = jax.tree.map(lambda leaf: leaf[indices], inputs)
    return Batch(x, jnp.asarray(labels[indices], jnp.float32), jnp.ones(len(indices)))


def labels_of(sample: jets.JetSample) -> np.ndarray:
    """The labels, which `jets.read` makes sure of where they are required."""
    assert sample.labels is not None
    return sample.labels


def _take(sample: jets.JetSample, indices: np.ndarray) -> jets.JetSample:
    return jets.JetSample(*(None if array is None else array[indices] for array in sample))


def describe(job: Job) -> dict[str, Any]:
    """What the jets of a run are: file, number, and a digest by which runs on the same jets are known."""
    options, sample = job.options, job.sample
    return {
        "file": "embedded" if options.data is None else str(options.data),
        "jets": len(labels_of(sample)),
        "pixels": None if sample.images is None else list(sample.images.shape[1:]),
        "digest": weights.digest(*sample),
        "split": {"fractions": FRACTIONS, "seed": options.seed},
    }


def _training(job: Job) -> dict[str, Any]:
    """What was chosen for the user."""
    _, settings = make_recipe(job)
    params = jax.eval_shape(job.tagger.model.init, jax.random.key(0))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "epochs": settings.epochs,
        "batch size": settings.batch_size,
        "learning rate": job.options.learning_rate or job.tagger.defaults.learning_rate,
        "weight decay": job.tagger.defaults.weight_decay,
    }


def _contents(sample: jets.JetSample) -> Iterator[np.ndarray]:
    """Of each jet what tells it from others: its constituents without the padding, or its image."""
    if sample.images is not None:
        yield from sample.images.astype(np.float32)
    else:
        assert sample.constituents is not None
        yield from (jet[jet[:, 0] > 0] for jet in sample.constituents.astype(np.float32))


def read_options(folder: Path) -> Options:
    """The options a run was started with."""
    return runs.read_options(folder, NAME, Options, ("data",))


def load(folder: Path) -> Trained:
    """The tagger of a run: `predict` takes constituents [jet, constituent, 4] in GeV, or images [jet, height, width] if it was
    trained on images, and gives "logit" and "probability" of top, each [jet].
    """
    options, config = read_options(folder), runs.read_config(folder)
    pixels = config["data"].get("pixels")
    tagger = make_tagger(options, pixels)

    def recipe() -> Recipe:  # of any length, which shapes no array of its state
        return make_recipe(Job(options, tagger, jets.JetSample(None, None, None), (np.arange(1),) * 3))[0]

    params, _ = runs.trained(folder, tagger.model, recipe, jax.random.key(options.seed))

    def inputs(examples: np.ndarray) -> Inputs:
        examples = np.asarray(examples)
        if examples.ndim != 3:
            raise InputError(
                f"jets: expected constituents [jet, constituent, 4] or images [jet, height, width], got {list(examples.shape)}"
            )
        sample = jets.JetSample(examples, None, None) if pixels is None else jets.JetSample(None, examples, None)
        return make_inputs(tagger, sample, silent)

    def predict(examples: np.ndarray) -> dict[str, np.ndarray]:
        logits = predict_all(tagger.model.apply, params, inputs(examples))
        return {"logit": logits, "probability": 1 / (1 + np.exp(-logits))}

    return Trained(tagger.model, params, inputs, predict, config)


def _examples(trained: Trained, sample: jets.JetSample) -> np.ndarray:
    """What the tagger of a run takes of these jets."""
    if trained.config["data"].get("pixels") is None:
        if sample.constituents is None:
            raise InputError("jets: expected constituents, with which the run was trained, got images; train on images")
        return sample.constituents
    if sample.images is None:
        raise InputError("jets: expected images, with which the run was trained, got constituents; train on them")
    return sample.images


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all jets of another file.

    Returns:
        The path of the report.
    """
    trained, options = load(folder), read_options(folder)
    if data is None:
        job = prepare(options, session.progress)
        sample, target, part = _take(job.sample, job.splits[2]), folder, "test"
    else:
        sample, target, part = jets.read(data), folder / "evaluations" / data.stem, data.name
        jets.require_both_classes(labels_of(sample), data)
    logits = trained.predict(_examples(trained, sample))["logit"]
    known = None if part == "test" else seen.overlap(folder, _contents(sample))
    measured = report.Measured(sample, logits, part, known, runs.read_metrics(folder))
    if known:
        session.progress("evaluating", 0.0, f"warning: {known:,} of these jets were used in training")
    _evaluate(target, options, measured, session.progress)
    return target / "report.html"


def _evaluate(folder: Path, options: Options, measured: report.Measured, progress: OnProgress) -> None:
    """Write evaluation.json, the figures and the report of these logits."""
    progress("evaluating", 0.0, "")
    sample, logits = measured.sample, measured.logits
    labels = labels_of(sample)
    counts = {name: int(np.sum(labels == value)) for value, name in enumerate(CLASSES)}
    result: dict[str, Any] = {"task": NAME, "tagger": options.tagger, "part": measured.part, "jets": counts}
    result["known"] = measured.known
    result["metrics"] = binary_evaluation.classification(logits, labels)
    baseline = None
    if sample.constituents is not None:
        baseline = taggers.mass_score(sample.constituents)
        result["baseline"] = {"name": "mass", "metrics": binary_evaluation.ranking(baseline, labels)}
        if options.tagger != "mass":
            key = jax.random.fold_in(jax.random.key(options.seed), 1)
            result["gain"] = binary_evaluation.gain(logits, baseline, labels, key)
    write_json(folder / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    report.write(folder, result, measured, baseline)
    progress("evaluating", 1.0, f"AUC {result['metrics']['auc']['value']:.4f}")


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the probability of "top" of every jet in `source`, in bounded memory."""
    scores_file.check(out)
    trained = load(folder)
    scores_file.write(out, _scores(trained, source, partial(session.progress, "predicting")))


def _scores(trained: Trained, source: Path, progress: Any) -> Iterator[dict[str, np.ndarray]]:
    total, done = jets.count(source), 0
    for sample in jets.stream(source):
        scores = trained.predict(_examples(trained, sample))
        done += len(scores["logit"])
        progress(done / total, f"{done:,} jets")
        yield scores


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    load=load,
    predict=predict,
    lower_is_better=("log_loss", "calibration_error"),
    headline=("metrics/auc", "metrics/rejection_0.3", "metrics/accuracy"),
)
