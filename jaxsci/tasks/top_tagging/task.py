"""Top-quark jets against QCD jets: the training of a tagger (arXiv:1902.09914)."""

from pathlib import Path

import numpy as np

from jaxsci.models.heads import inference
from jaxsci.runs import binary_evaluation, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.folder import Training
from jaxsci.runs.task import Session, Sweep, Task
from jaxsci.tasks import ensembles, parts
from jaxsci.tasks.top_tagging import cross_validation, report, streamed
from jaxsci.tasks.top_tagging.evaluation import evaluate, load, predict, write_evaluation
from jaxsci.tasks.top_tagging.jobs import (
    NAME,
    Job,
    as_batch,
    describe,
    make_inputs,
    make_recipe,
    new_run,
    prepare,
    read_options,
    sweep_parts,
    sweep_trial,
)
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.samples import contents, labels_of, take
from jaxsci.tasks.top_tagging.study import study


def train(options: Options, session: Session) -> Path:
    """Train a tagger in a new run folder, evaluate it on the test part, and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: the jets or the options cannot be used; no run folder is left behind.
        TrainingDivergedError: the loss became NaN or infinite.
    """
    ensembles.require(options.members, session.execution)
    if options.folds is not None:
        return cross_validation.train(options, session)
    if options.stream:
        return streamed.train(options, session)
    job = prepare(options, session.progress)
    shared = parts.compare(options, lambda: seen.hashes(contents(job.sample)), job.splits, "jets", session.progress)
    used = seen.hashes(contents(take(job.sample, np.concatenate(job.splits[:2]))))
    return _train(new_run(job, describe(job, shared), session, used), job, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    ensembles.require(read_options(folder).members, session.execution)
    if read_options(folder).folds is not None:
        return cross_validation.resume(folder, session)
    if read_options(folder).stream:
        return streamed.resume(folder, session)
    job = prepare(read_options(folder), session.progress, runs.read_config(folder))
    seen.require_same(folder, describe(job)["digest"])
    return _train(folder, job, session, resume=True)


def _train(folder: Path, job: Job, session: Session, *, resume: bool) -> Path:
    progress = session.progress
    inputs = make_inputs(job.tagger, job.sample, progress)
    classes = len(job.names)
    labels, own_weights = labels_of(job.sample), binary_evaluation.relative(job.sample.weights, job.splits[0])
    train, validation, test = (
        as_batch(inputs, labels, indices, own_weights, classes=classes) for indices in job.splits
    )
    del inputs  # as large as the three splits together
    recipe, settings = make_recipe(job)
    members = job.options.members
    result = runs.train(
        folder,
        Training(recipe, settings, ensembles.keys(job.options.seed, members)),
        (train, validation),
        resume=resume,
        progress=progress,
        execution=session.execution,
    )
    answers = ensembles.answering(inference(job.tagger.model), result.params, members)(test.x)
    known = parts.known(runs.read_config(folder))
    measured = report.Measured(
        job.options, job.tagger, take(job.sample, job.splits[2]), answers, "test", known, result.history
    )
    write_evaluation(folder, measured, progress)
    return folder


def _evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    if data is None and read_options(folder).stream:
        return streamed.evaluate(folder, session)
    return evaluate(folder, data, session)


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=_evaluate,
    load=load,
    predict=predict,
    study=study,
    sweep=Sweep(sweep_parts, sweep_trial, lambda options: options.model),
    lower_is_better=("log_loss", "calibration_error"),
    headline=("members", "metrics/auc", "metrics/auc_macro", "metrics/rejection_0.3", "metrics/accuracy"),
)
