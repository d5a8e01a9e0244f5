"""Anomalous jets: the training of a detector on one class of jets, in one direction or in both."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen, weights
from jaxsci.runs.task import OnProgress, Session, Task, Trained
from jaxsci.runs.training import require_devices
from jaxsci.tasks import scores_file
from jaxsci.tasks.anomalies import baselines, jobs, report
from jaxsci.tasks.anomalies.detectors import detector
from jaxsci.tasks.anomalies.evaluation import Direction, measure
from jaxsci.tasks.anomalies.options import CLASSES, Options, directions
from jaxsci.tasks.top_tagging.samples import contents
from jaxsci.training import Recipe

NAME = "anomalies"


def train(options: Options, session: Session) -> Path:
    """Train a detector for each direction in a new run folder, evaluate them on the test part, and write the report.

    Returns:
        The run folder; each direction has a folder in it with its checkpoints and weights.

    Raises:
        InputError: the jets or the options cannot be used; no run folder is left behind.
        TrainingDivergedError: the loss became NaN or infinite.
    """
    job = jobs.prepare(options, session.progress)
    require_devices(jobs.untrained(job.detector), session.execution)
    with runs.whole_folder(session, NAME, options.detector) as folder:
        runs.write_config(folder, NAME, options, _describe(job), _hyperparameters(job))
        seen.save(folder, contents(jets.JetSample(job.constituents[np.concatenate(job.splits[:2])], None, None)))
    return _train(folder, job, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    job = jobs.prepare(_read_options(folder), session.progress)
    seen.require_same(folder, _describe(job)["digest"])
    return _train(folder, job, session, resume=True)


def _train(folder: Path, job: jobs.Job, session: Session, *, resume: bool) -> Path:
    progress = session.progress
    inputs = jobs.make_inputs(job.detector, job.constituents, progress)
    learned, trained = {}, {}
    for normal in directions(job.options):
        training, batches = jobs.make_training(job, inputs, normal)
        within = partial(_within, progress, report.LABELS[normal])
        place, how = folder / normal, session.execution
        place.mkdir(exist_ok=True)
        result = runs.train(place, training, batches, resume=resume, progress=within, execution=how)
        seen_jets = job.constituents[jobs.part(job, 0, normal)]
        trained[normal], learned[normal] = result.params, baselines.learn(seen_jets, job.options.seed)
    baselines.save(folder, learned)
    test = job.splits[2]
    part = _Part(job.constituents[test], job.labels[test], "test")
    _evaluate(folder, job.options, jobs.scores(job.detector, trained, inputs[test]), part, progress)
    return folder


def _within(progress: OnProgress, normal: str, stage: str, fraction: float, words: str) -> None:
    progress(f"{stage} on {normal} jets", fraction, words)


def load(folder: Path) -> Trained:
    """The detectors of a run: `predict` takes constituents [jet, constituent, 4] in GeV and gives "unlike_qcd" and "unlike_top", or the
    one that was trained, each [jet]: larger for jets that are less like those learned.
    """
    options = _read_options(folder)
    found = detector(options.detector)
    model = jobs.untrained(found)
    key = jax.random.key(options.seed)

    def recipe() -> Recipe:  # of any length, which shapes no array of its state
        nothing = np.zeros((1, 1, 4), np.float32)
        return jobs.make_recipe(jobs.Job(options, found, nothing, nothing, (np.arange(1),) * 3), found.inputs(nothing))[
            0
        ]

    trained = {normal: runs.trained(folder / normal, model, recipe, key)[0] for normal in directions(options)}

    def inputs(examples: np.ndarray) -> np.ndarray:
        examples = np.asarray(examples)
        if examples.ndim != 3 or examples.shape[2] != 4:
            raise InputError(
                f"jets: expected constituents [jet, constituent, 4], got {list(examples.shape)}; give E, px, py, pz in GeV"
            )
        return found.inputs(examples)

    def predict(examples: np.ndarray) -> dict[str, np.ndarray]:
        return {f"unlike_{normal}": values for normal, values in jobs.scores(found, trained, inputs(examples)).items()}

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
        job = jobs.prepare(options, session.progress)
        seen.require_same(folder, _describe(job)["digest"])
        test = job.splits[2]
        target, part = folder, _Part(job.constituents[test], job.labels[test], "test")
    else:
        constituents, labels = jobs.labeled(data)
        target, part = folder / "evaluations" / data.stem, _Part(constituents, labels, data.name)
    found = trained.predict(part.constituents)
    scores = {normal: found[f"unlike_{normal}"] for normal in directions(options)}
    _evaluate(target, options, scores, part, session.progress)
    return target / "report.html"


def _evaluate(folder: Path, options: Options, scores: jobs.Scores, part: _Part, progress: OnProgress) -> None:
    progress("evaluating", 0.0, "")
    known = seen.overlap(runs.run_of(folder), contents(jets.JetSample(part.constituents, None, None)))
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


def _describe(job: jobs.Job) -> dict[str, Any]:
    return {
        "file": "embedded" if job.options.data is None else str(job.options.data),
        "jets": len(job.labels),
        "digest": weights.digest(job.constituents, job.labels),
        "split": {"fractions": jobs.FRACTIONS, "seed": job.options.seed},
    }


def _hyperparameters(job: jobs.Job) -> dict[str, Any]:
    settings = jobs.make_settings(job, max(len(jobs.part(job, 0, normal)) for normal in directions(job.options)))
    return {
        "parameters": weights.number(jobs.untrained(job.detector)),
        "epochs": settings.epochs,
        "batch size": settings.batch_size,
        "learning rate": job.detector.learning_rate,
    }


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
