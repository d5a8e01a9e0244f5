"""Anomalous jets: the training of a detector on one class of jets, in one direction or in both."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxsci.core import Batch, Params
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.folder import Training
from jaxsci.runs.task import OnProgress, Session, Task, Trained
from jaxsci.tasks import scores_file
from jaxsci.tasks.anomalies import baselines, report
from jaxsci.tasks.anomalies.detectors import Detector, detector
from jaxsci.tasks.anomalies.evaluation import Direction, measure
from jaxsci.tasks.anomalies.options import CLASSES, Options, directions
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine
from jaxsci.training import predict as predict_all

NAME = "anomalies"
FRACTIONS = (0.6, 0.15, 0.25)  # training, validation, test
Scores: TypeAlias = dict[str, np.ndarray]  # by the class that was learned, each [jet]
_CHUNK = 10_000  # jets at once


class Job(NamedTuple):
    """A detector with its jets."""

    options: Options
    detector: Detector
    constituents: np.ndarray
    labels: np.ndarray
    splits: tuple[np.ndarray, np.ndarray, np.ndarray]  # indices of training, validation, test


def prepare(options: Options, progress: OnProgress) -> Job:
    """Read and split the jets.

    Raises:
        InputError: the jets or the options cannot be used.
    """
    runs.require_positive(options, "epochs", "batch_size", "max_jets")
    if len(directions(options)) > 1 and jax.process_count() > 1:  # they part where the first training is over
        raise InputError(
            "--normal: expected one class in several processes, qcd or top, got both; give one, or leave out --distributed and --processes"
        )
    found = detector(options.detector)
    progress("reading jets", 0.0, "")
    source = options.data or jets.embedded()
    constituents, labels = _labeled(source, options.max_jets)
    for name in jets.weight_names(source) if options.data is not None else ():
        progress("reading jets", 0.5, f"note: {source} has {name}, which is not used; each jet counts once")
    progress("reading jets", 1.0, f"{len(labels):,} jets")
    return Job(options, found, constituents, labels, split(labels, seed=options.seed, fractions=FRACTIONS))


def _labeled(source: Path, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    sample = jets.read(source, limit=limit)
    if sample.constituents is None:
        raise InputError(
            f"{source}: expected constituents, got images; give four-momenta, of which observables are made"
        )
    assert sample.labels is not None
    jets.require_both_classes(sample.labels, source)
    return sample.constituents, sample.labels


def train(options: Options, session: Session) -> Path:
    """Train a detector for each direction in a new run folder, evaluate them on the test part, and write the report.

    Returns:
        The run folder; each direction has a folder in it with its checkpoints and weights.

    Raises:
        InputError: the jets or the options cannot be used; no run folder is left behind.
        TrainingDivergedError: the loss became NaN or infinite.
    """
    job = prepare(options, session.progress)
    with runs.whole_folder(session, NAME, options.detector) as folder:
        runs.write_config(folder, NAME, options, _describe(job), _hyperparameters(job))
        seen.save(folder, _contents(job.constituents[np.concatenate(job.splits[:2])]))
    return _train(folder, job, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    job = prepare(_read_options(folder), session.progress)
    seen.require_same(folder, _describe(job)["digest"])
    return _train(folder, job, session, resume=True)


def _train(folder: Path, job: Job, session: Session, *, resume: bool) -> Path:
    progress = session.progress
    inputs = _inputs(job.detector, job.constituents, progress)
    learned, trained = {}, {}
    for normal in directions(job.options):
        train, validation = (rows[job.labels[rows] == CLASSES.index(normal)] for rows in job.splits[:2])
        recipe, settings = _recipe(job, inputs[train])
        batches = (_as_batch(inputs, train), _as_batch(inputs, validation))
        key = jax.random.fold_in(jax.random.key(job.options.seed), CLASSES.index(normal))
        within = partial(_within, progress, report.LABELS[normal])
        (folder / normal).mkdir(exist_ok=True)
        training = Training(recipe, settings, key)
        place, how = folder / normal, session.execution
        result = runs.train(place, training, batches, resume=resume, progress=within, execution=how)
        trained[normal], learned[normal] = result.params, baselines.learn(job.constituents[train], job.options.seed)
    baselines.save(folder, learned)
    test = job.splits[2]
    part = _Part(job.constituents[test], job.labels[test], "test")
    _evaluate(folder, job.options, _scores(job.detector, trained, inputs[test]), part, progress)
    return folder


def _within(progress: OnProgress, normal: str, stage: str, fraction: float, words: str) -> None:
    progress(f"{stage} on {normal} jets", fraction, words)


def _recipe(job: Job, examples: np.ndarray) -> tuple[Recipe, Settings]:
    """Adam with warm-up and a cosine decay, and clipped gradients."""
    options, found = job.options, job.detector
    settings = Settings(options.epochs or found.epochs, min(options.batch_size or found.batch_size, len(examples)))
    steps = settings.epochs * steps_per_epoch(len(examples), settings.batch_size)
    model = found.make_model(examples)
    optimizer = adamw(found.learning_rate, weight_decay=0.0, schedule=warmup_cosine(steps), clip=1.0)
    return Recipe(model, found.make_loss(model), optimizer, found.augment), settings


def _inputs(found: Detector, constituents: np.ndarray, progress: OnProgress) -> np.ndarray:
    parts = []
    for first in range(0, len(constituents), _CHUNK):
        progress("preparing inputs", first / len(constituents), "")
        parts.append(found.inputs(constituents[first : first + _CHUNK]))
    progress("preparing inputs", 1.0, "")
    return np.concatenate(parts)


def _as_batch(inputs: np.ndarray, rows: np.ndarray) -> Batch:
    """The jets of these rows; there is no target."""
    return jax.device_put(Batch(inputs[rows], np.zeros(len(rows), np.float32), np.ones(len(rows), np.float32)))


def _scores(found: Detector, trained: dict[str, Params], inputs: np.ndarray) -> Scores:
    """How anomalous each jet is to the detector of each direction."""
    model = found.make_model(np.zeros_like(inputs[:1]))
    return {normal: predict_all(partial(found.score, model), params, inputs) for normal, params in trained.items()}


def load(folder: Path) -> Trained:
    """The detectors of a run: `predict` takes constituents [jet, constituent, 4] in GeV and gives "unlike_qcd" and "unlike_top", or the
    one that was trained, each [jet]: larger for jets that are less like those learned.
    """
    options = _read_options(folder)
    found = detector(options.detector)
    shape = found.inputs(np.zeros((1, 1, 4), np.float32))
    model = found.make_model(np.zeros_like(shape))
    key = jax.random.key(options.seed)

    def recipe() -> Recipe:  # of any length, which shapes no array of its state
        return _recipe(Job(options, found, shape, shape, (np.arange(1),) * 3), np.zeros_like(shape))[0]

    trained = {normal: runs.trained(folder / normal, model, recipe, key)[0] for normal in directions(options)}

    def inputs(examples: np.ndarray) -> np.ndarray:
        examples = np.asarray(examples)
        if examples.ndim != 3 or examples.shape[2] != 4:
            raise InputError(
                f"jets: expected constituents [jet, constituent, 4], got {list(examples.shape)}; give E, px, py, pz in GeV"
            )
        return found.inputs(examples)

    def predict(examples: np.ndarray) -> dict[str, np.ndarray]:
        return {f"unlike_{normal}": values for normal, values in _scores(found, trained, inputs(examples)).items()}

    return Trained(model, trained, inputs, predict, runs.read_config(folder))


class _Part(NamedTuple):
    """Jets to evaluate a run on."""

    constituents: np.ndarray
    labels: np.ndarray
    name: str  # "test", or that of another file


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all jets of another file.

    Returns:
        The path of the report.
    """
    trained, options = load(folder), _read_options(folder)
    if data is None:
        job = prepare(options, session.progress)
        seen.require_same(folder, _describe(job)["digest"])
        test = job.splits[2]
        target, part = folder, _Part(job.constituents[test], job.labels[test], "test")
    else:
        constituents, labels = _labeled(data)
        target, part = folder / "evaluations" / data.stem, _Part(constituents, labels, data.name)
    found = trained.predict(part.constituents)
    scores = {normal: found[f"unlike_{normal}"] for normal in directions(options)}
    _evaluate(target, options, scores, part, session.progress)
    return target / "report.html"


def _evaluate(folder: Path, options: Options, scores: Scores, part: _Part, progress: OnProgress) -> None:
    progress("evaluating", 0.0, "")
    known = seen.overlap(runs.run_of(folder), _contents(part.constituents))
    if known:
        progress("evaluating", 0.0, f"warning: {known:,} of these jets were used in training")
    learned = baselines.read(runs.run_of(folder))
    mass = jets.mass(part.constituents)
    found = [
        Direction(normal, values, baselines.scores(learned[normal], part.constituents))
        for normal, values in scores.items()
    ]
    by_direction = {d.normal: measure(d, part.labels != CLASSES.index(d.normal), mass) for d in found}
    result: dict[str, Any] = {
        "task": NAME,
        "detector": options.detector,
        "part": part.name,
        "jets": {name: int(np.sum(part.labels == label)) for label, name in enumerate(CLASSES)},
        "known": known,
        "directions": by_direction,
        "metrics": {
            key: min((m["detector"][key] for m in by_direction.values()), key=lambda entry: entry["value"] or 0.0)
            for key in ("auc", "auc_at_equal_mass")
        },
    }
    runs.write_record(folder / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    report.write(folder, result, report.Measured(part.constituents, part.labels, mass, found))
    progress("evaluating", 1.0, report.headline(by_direction))


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write how anomalous every jet in `source` is, in bounded memory."""
    scores_file.check(out, source)
    trained = load(folder)

    def chunks() -> Iterator[dict[str, np.ndarray]]:
        total, done = jets.count(source), 0
        for sample in jets.stream(source):
            if sample.constituents is None:
                raise InputError(f"{source}: expected constituents, got images; give four-momenta")
            scores = trained.predict(sample.constituents)
            done += len(sample.constituents)
            session.progress("predicting", done / total, f"{done:,} jets")
            yield scores

    scores_file.write(out, chunks())


def _describe(job: Job) -> dict[str, Any]:
    return {
        "file": "embedded" if job.options.data is None else str(job.options.data),
        "jets": len(job.labels),
        "digest": weights.digest(job.constituents, job.labels),
        "split": {"fractions": FRACTIONS, "seed": job.options.seed},
    }


def _hyperparameters(job: Job) -> dict[str, Any]:
    example = job.detector.inputs(job.constituents[:1])
    params = jax.eval_shape(job.detector.make_model(example).init, jax.random.key(0))
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "epochs": job.options.epochs or job.detector.epochs,
        "batch size": job.options.batch_size or job.detector.batch_size,
        "learning rate": job.detector.learning_rate,
    }


def _contents(constituents: np.ndarray) -> Iterator[np.ndarray]:
    """Of each jet what tells it from others: its constituents without the padding."""
    yield from (jet[jet[:, 0] > 0] for jet in constituents.astype(np.float32))


def _read_options(folder: Path) -> Options:
    return runs.read_options(folder, NAME, Options, ("data",))


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    load=load,
    predict=predict,
    headline=("metrics/auc", "metrics/auc_at_equal_mass"),
)
