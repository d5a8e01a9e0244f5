"""Top-quark jets against QCD jets: the training of a tagger (arXiv:1902.09914)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from jaxsci.core import Batch
from jaxsci.data.jets import JetSample
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import seen
from jaxsci.runs.folder import Training
from jaxsci.runs.task import Execution, OnProgress, Session, Sweep, Task, Trial
from jaxsci.tasks import ensembles, folds, parts
from jaxsci.tasks.top_tagging import cross_validation
from jaxsci.tasks.top_tagging.evaluation import evaluate, load, predict, write_tested
from jaxsci.tasks.top_tagging.jobs import NAME, Job, check, make_recipe, new_run, read_options
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.samples import FRACTIONS
from jaxsci.tasks.top_tagging.streamed import opened
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
    if options.stream and session.execution.device_memory is not None:
        raise InputError("--device-memory: expected jets in memory, got --stream; leave out one of both")
    with opened(options, session.progress) as job:
        if options.folds is not None:
            return cross_validation.train(job, session)
        hashes = job.hashes()
        compared = parts.compare(options, hashes, job.splits, "jets", session.progress)
        split = {"fractions": FRACTIONS, "seed": options.seed, **compared}
        folder = new_run(job, split, session, hashes[np.concatenate(job.splits[:2])])
        return _train(folder, job, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = read_options(folder)
    ensembles.require(options.members, session.execution)
    with opened(options, session.progress, runs.read_config(folder)) as job:
        seen.require_same(folder, job.described()["digest"])
        if options.folds is not None:
            return cross_validation.resume(folder, job, session)
        return _train(folder, job, session, resume=True)


def _train(folder: Path, job: Job, session: Session, *, resume: bool) -> Path:
    result = runs.train(
        folder,
        Training(*make_recipe(job), ensembles.keys(job.options.seed, job.options.members)),
        job.examples(session.progress),
        resume=resume,
        progress=session.progress,
        execution=session.execution,
    )
    write_tested(folder, job, result.params, result.history, session.progress)
    return folder


def _sweep_parts(options: Options, progress: OnProgress) -> tuple[Job, tuple[Batch, Batch]]:
    """The tagger without its jets, and the jets that train and that choose."""
    folds.refuse_in_sweep(options)
    if options.stream:
        raise InputError(
            "--stream: expected jets that fit into memory for a sweep, got --stream; sweep on --max-jets N of them"
        )
    ensembles.require(options.members, Execution())
    with opened(options, progress) as job:
        parts.compare(options, job.hashes(), job.splits, "jets", progress)
        train, validation = job.examples(progress)
    assert isinstance(train, Batch)
    return replace(job, sample=JetSample(None, None, None)), (train, validation)


def _sweep_trial(options: Options, job: Job) -> Trial:
    """A tagger as it is trained with other options."""
    check(options)
    job = replace(job, options=options)
    key = ensembles.first_key(options.seed, options.members)
    return Trial(lambda hyper: make_recipe(job, hyper)[0], make_recipe(job)[1], "cross entropy", key)


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    load=load,
    predict=predict,
    study=study,
    sweep=Sweep(_sweep_parts, _sweep_trial, lambda options: options.model),
    lower_is_better=("log_loss", "calibration_error"),
    headline=("members", "metrics/auc", "metrics/auc_macro", "metrics/rejection_0.3", "metrics/accuracy"),
)
