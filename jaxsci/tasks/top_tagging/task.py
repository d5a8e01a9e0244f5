"""Top-quark jets against QCD jets: training, evaluation and prediction of a tagger (arXiv:1902.09914)."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Batch, Inputs, Params
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.losses import binary_cross_entropy, correct, objective
from jaxsci.runs import binary_evaluation, scores_file
from jaxsci.runs import folder as runs
from jaxsci.runs.task import OnProgress, Session, Task, silent
from jaxsci.tasks.top_tagging import report as top_tagging_report
from jaxsci.tasks.top_tagging import taggers
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine
from jaxsci.training import predict as predict_all

NAME = "top-tagging"
FRACTIONS = (0.6, 0.15, 0.25)  # training, validation, test
CLASSES = ("QCD", "top")


class Job(NamedTuple):
    """A tagger with its jets, ready to train or to be evaluated."""

    tagger: taggers.Tagger
    recipe: Recipe
    settings: Settings
    sample: jets.JetSample
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]  # rows of training, validation, test


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
    runs.write_config(folder, NAME, options, describe(options, job.sample))
    return _train(folder, options, job, session.progress, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = read_options(folder)
    return _train(folder, options, prepare(options, session.progress), session.progress, resume=True)


def _train(folder: Path, options: Options, job: Job, progress: OnProgress, *, resume: bool) -> Path:
    inputs = make_inputs(job.tagger, job.sample, progress)
    train, validation, test = (as_batch(inputs, labels_of(job.sample), rows) for rows in job.parts)
    del inputs  # as large as the three parts together
    key = jax.random.key(options.seed)
    result = runs.train(
        folder, job.recipe, (train, validation), key=key, settings=job.settings, resume=resume, progress=progress
    )
    logits = predict_all(job.recipe.model.apply, result.params, test.x)
    _evaluate(folder, options, _take(job.sample, job.parts[2]), logits, result.history, progress, part="test")
    return folder


def prepare(options: Options, progress: OnProgress) -> Job:
    """Read and split the jets and build the tagger's recipe."""
    runs.require_positive(options, "epochs", "batch_size", "patience", "max_jets", "learning_rate")
    progress("reading jets", 0.0, "")
    source = options.data or jets.embedded()
    sample = jets.read(source, limit=options.max_jets)
    labels = labels_of(sample)
    jets.require_both_classes(labels, source)
    progress("reading jets", 1.0, f"{len(labels):,} jets")
    parts = split(labels, seed=options.seed, fractions=FRACTIONS)
    tagger = make_tagger(options)
    check_inputs(tagger, sample)
    schedule = tagger.schedule
    settings = Settings(
        epochs=options.epochs or schedule.epochs,
        batch_size=min(options.batch_size or schedule.batch_size, len(parts[0])),
        patience=options.patience,
    )
    return Job(tagger, make_recipe(options, tagger, settings, len(parts[0])), settings, sample, parts)


def make_tagger(options: Options) -> taggers.Tagger:
    """The tagger of these options."""
    return taggers.tagger(options.tagger, None if options.precision == "float32" else options.precision)


def trained(folder: Path, options: Options) -> tuple[taggers.Tagger, Params, list[dict[str, Any]]]:
    """The tagger of a run, the parameters of its best epoch, and its history."""
    tagger = make_tagger(options)
    recipe = make_recipe(options, tagger, Settings(), examples=1)  # lengths of the training shape no array of its state
    return tagger, *runs.trained(folder, recipe, jax.random.key(options.seed))


def make_recipe(options: Options, tagger: taggers.Tagger, settings: Settings, examples: int) -> Recipe:
    """Cross entropy by AdamW with warm-up, a cosine decay over all epochs, and clipped gradients."""
    steps = settings.epochs * steps_per_epoch(examples, settings.batch_size)
    optimizer = adamw(
        options.learning_rate or tagger.schedule.learning_rate,
        weight_decay=tagger.schedule.weight_decay,
        schedule=warmup_cosine(steps),
        clip=1.0,
    )
    microbatches = tagger.schedule.microbatches if settings.batch_size % tagger.schedule.microbatches == 0 else 1
    loss = objective(tagger.model.apply, binary_cross_entropy, metrics={"accuracy": correct})
    return Recipe(tagger.model, loss, optimizer, tagger.augment if options.augment else None, microbatches)


def make_inputs(tagger: taggers.Tagger, sample: jets.JetSample, progress: OnProgress, chunk: int = 10_000) -> Inputs:
    """The tagger's inputs of all jets, computed in chunks of bounded memory."""
    check_inputs(tagger, sample)
    if sample.images is not None:
        return taggers.images_as_inputs(sample.images)
    assert sample.constituents is not None
    jets_total = len(sample.constituents)
    parts = []
    for first in range(0, jets_total, chunk):
        progress("preparing inputs", first / jets_total, "")
        parts.append(tagger.inputs(sample.constituents[first : first + chunk]))
    progress("preparing inputs", 1.0, "")
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def check_inputs(tagger: taggers.Tagger, sample: jets.JetSample) -> None:
    """Raise InputError where the jets are images and the tagger needs constituents."""
    if sample.images is not None and tagger.inputs is not taggers.image_inputs:
        raise InputError("--tagger: expected cnn or cnn-landscape for a file of images; the others need constituents")


def as_batch(inputs: Inputs, labels: np.ndarray, rows: np.ndarray) -> Batch:
    """The jets of these rows as one batch of weight 1 each."""
    x = jax.tree.map(lambda leaf: leaf[rows], inputs)
    return Batch(x, jnp.asarray(labels[rows], jnp.float32), jnp.ones(len(rows)))


def labels_of(sample: jets.JetSample) -> np.ndarray:
    """The labels, which `jets.read` makes sure of where they are required."""
    assert sample.labels is not None
    return sample.labels


def _take(sample: jets.JetSample, rows: np.ndarray) -> jets.JetSample:
    return jets.JetSample(*(None if array is None else array[rows] for array in sample))


def describe(options: Options, sample: jets.JetSample) -> dict[str, Any]:
    """What the jets of a run are: file, number, and a digest by which runs on the same jets are known."""
    return {
        "file": "embedded" if options.data is None else str(options.data),
        "jets": len(labels_of(sample)),
        "digest": hashlib.sha256(np.ascontiguousarray(labels_of(sample)).tobytes()).hexdigest()[:16],
        "split": {"fractions": FRACTIONS, "seed": options.seed},
    }


def read_options(folder: Path) -> Options:
    """The options a run was started with."""
    return runs.read_options(folder, NAME, Options, ("data",))


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all jets of another file.

    Returns:
        The path of the report.
    """
    progress = session.progress
    options = read_options(folder)
    tagger, params, history = trained(folder, options)
    if data is None:
        job = prepare(options, progress)
        sample, target, part = _take(job.sample, job.parts[2]), folder, "test"
    else:
        sample, target, part = jets.read(data), folder / "evaluations" / data.stem, data.name
        jets.require_both_classes(labels_of(sample), data)
    logits = predict_all(tagger.model.apply, params, make_inputs(tagger, sample, progress))
    _evaluate(target, options, sample, logits, history, progress, part=part)
    return target / "report.html"


def _evaluate(
    folder: Path,
    options: Options,
    sample: jets.JetSample,
    logits: np.ndarray,
    history: list[dict[str, Any]],
    progress: OnProgress,
    *,
    part: str,
) -> None:
    """Write evaluation.json, the figures and the report of these logits."""
    progress("evaluating", 0.0, "")
    labels = labels_of(sample)
    counts = {name: int(np.sum(labels == value)) for value, name in enumerate(CLASSES)}
    result: dict[str, Any] = {"task": NAME, "tagger": options.tagger, "part": part, "jets": counts}
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
    top_tagging_report.write(folder, result, sample, labels, logits, baseline, history)
    progress("evaluating", 1.0, f"AUC {result['metrics']['auc']['value']:.4f}")


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the probability of "top" of every jet in `source`, in bounded memory."""
    options = read_options(folder)
    scores_file.check(out)
    tagger, params, _ = trained(folder, options)
    total = jets.count(source)

    def scores() -> Any:
        done = 0
        for sample in jets.stream(source):
            logits = predict_all(tagger.model.apply, params, make_inputs(tagger, sample, silent))
            done += len(logits)
            session.progress("predicting", done / total, f"{done:,} jets")
            yield {"logit": logits, "probability": 1 / (1 + np.exp(-logits))}

    scores_file.write(out, scores())


TASK = Task(
    NAME, train, resume=resume, evaluate=evaluate, predict=predict, lower_is_better=("log_loss", "calibration_error")
)
