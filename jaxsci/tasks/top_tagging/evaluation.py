"""A trained tagger: read back, evaluated, and asked for predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxsci.core import Inputs, Params
from jaxsci.data import jets
from jaxsci.errors import InputError
from jaxsci.models.heads import inference
from jaxsci.runs import binary_evaluation, seen
from jaxsci.runs import folder as runs
from jaxsci.runs.task import OnProgress, Session, Trained, silent
from jaxsci.tasks import ensembles, folds, parts, scores_file
from jaxsci.tasks.top_tagging import report, several
from jaxsci.tasks.top_tagging.jobs import (
    NAME,
    Job,
    make_inputs,
    make_recipe,
    make_tagger,
    read_options,
    say_outside,
)
from jaxsci.tasks.top_tagging.options import Options
from jaxsci.tasks.top_tagging.samples import (
    chosen_names,
    contents,
    effective,
    labels_of,
    require_classes,
    require_weight,
    tested,
)
from jaxsci.tasks.top_tagging.streamed import opened
from jaxsci.tasks.top_tagging.taggers import Tagger
from jaxsci.tasks.top_tagging.taggers.scaling import of_run, scaled
from jaxsci.training import Recipe


def load(folder: Path) -> Trained:
    """The tagger of a run: `predict` takes constituents [jet, constituent, 4] in GeV, or images [jet, height, width] if it was
    trained on images, and gives "logit" and "probability" of top, each [jet]; of more than two classes the "class" by its name and
    "probability_NAME" for each. An ensemble adds "spread", the standard deviation of the probability over its members.
    """
    # Without a backward pass nothing is kept, and other libraries read the plain blocks.
    options, config = replace(read_options(folder), remat=False), runs.read_config(folder)
    folds.refuse(folder, options)
    pixels, tagger = config["data"].get("pixels"), _tagger(options, config)
    model = inference(tagger.model)

    def recipe() -> Recipe:  # of any length, which shapes no array of its state
        return make_recipe(Job(options, tagger, jets.JetSample(None, None, None), (np.arange(1),) * 3))[0]

    params, _ = runs.trained(folder, tagger.model, recipe, ensembles.keys(options.seed, options.members))
    answering = ensembles.answering(model, params, options.members)

    def inputs(examples: np.ndarray) -> Inputs:
        examples = np.asarray(examples)
        if examples.ndim != 3:
            raise InputError(
                f"jets: expected constituents [jet, constituent, 4] or images [jet, height, width], got {list(examples.shape)}"
            )
        sample = jets.JetSample(examples, None, None) if pixels is None else jets.JetSample(None, examples, None)
        return make_inputs(tagger, sample, silent)

    def predict(examples: np.ndarray) -> dict[str, np.ndarray]:
        answers = answering(inputs(examples))
        if answers.outputs.ndim > 1:
            return {**several.answers(answers.outputs, tagger.classes), **answers.spreads()}
        return {"logit": answers.outputs, "probability": 1 / (1 + np.exp(-answers.outputs)), **answers.spreads()}

    room = config["data"].get("constituents") or 1
    example = np.zeros((1, room, 4), np.float32) if pixels is None else np.full((1, *pixels), 1e-3, np.float32)
    example[:, 0] = 1.0  # a jet of something
    return Trained(model, params, inputs, predict, config, example)


def _tagger(options: Options, config: dict[str, Any]) -> Tagger:
    """The tagger of the run of this config, its inputs scaled as in training."""
    shape = config["data"].get("pixels"), config["data"].get("constituents")
    return scaled(make_tagger(options, *shape), of_run(config))


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
    trained, options, history = load(folder), read_options(folder), runs.read_metrics(folder)
    if data is None:
        with opened(options, session.progress, trained.config) as job:
            seen.require_same(folder, job.described()["digest"])
            write_tested(folder, job, trained.params, history, session.progress)
        return folder / "report.html"
    chosen = chosen_names(options.class_names, options.signal_class)
    sample = jets.read(data, weights=options.weights, classes=chosen)
    require_classes(chosen, labels_of(sample), data)
    require_weight(chosen, sample, data)
    say_outside(_tagger(options, trained.config), sample, session.progress)
    inputs = trained.prepare(_examples(trained, sample))
    answers = ensembles.answering(trained.model, trained.params, options.members)(inputs)
    known = seen.overlap(folder, contents(sample))
    if known:
        session.progress("evaluating", 0.0, f"warning: {known:,} of these jets were used in training")
    tagger, target = _tagger(options, trained.config), folder / "evaluations" / data.stem
    measured = report.Measured(options, tagger, tested(sample, answers), data.name, known, history)
    write_evaluation(target, measured, session.progress)
    return target / "report.html"


def write_tested(folder: Path, job: Job, params: Params, history: list[dict[str, Any]], progress: OnProgress) -> None:
    """Evaluate the parameters of a run on its test part."""
    known = parts.known(runs.read_config(folder))
    answered = job.tested(params, progress)
    write_evaluation(folder, report.Measured(job.options, job.tagger, answered, "test", known, history), progress)


def write_evaluation(folder: Path, measured: report.Measured, progress: OnProgress) -> None:
    """Write evaluation.json, the figures and the report of these answers."""
    options, (sample, answers, labels, masses) = measured.options, measured.tested
    if answers.outputs.ndim > 1:
        several.write_evaluation(folder, measured, progress)
        return
    progress("evaluating", 0.0, "")
    names, weights = measured.tagger.classes, sample.weights
    counts = {name: int(np.sum(labels == value)) for value, name in enumerate(names)}
    result: dict[str, Any] = {"task": NAME, "tagger": measured.tagger.name, "part": measured.part, "jets": counts}
    result["known"] = measured.known
    if weights is not None:
        result["weights"] = {"array": options.weights, "effective": effective(labels, weights, names)}
    measure = partial(binary_evaluation.classification, labels=labels, weights=weights)
    result["metrics"] = measure(answers.outputs)
    if answers.members is not None and answers.spread is not None:
        result |= ensembles.measured(measure, answers.members, answers.spread)
    if masses is not None:
        result["baseline"] = {"name": "mass", "metrics": binary_evaluation.ranking(masses, labels, weights)}
        if result["tagger"] != "mass":
            key = jax.random.fold_in(jax.random.key(options.seed), 1)
            result["gain"] = binary_evaluation.gain(answers.outputs, masses, labels, key, weights)
    runs.write_record(folder / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    report.write(folder, result, measured)
    progress("evaluating", 1.0, f"AUC {result['metrics']['auc']['value']:.4f}")


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the probability of "top", or of each class, of every jet in `source`, in bounded memory."""
    scores_file.check(out, source)
    trained, options = load(folder), read_options(folder)
    chosen = chosen_names(options.class_names, options.signal_class)
    tagger = _tagger(options, trained.config)
    scores_file.write(out, _scores(trained, tagger, source, chosen, session.progress))


def _scores(
    trained: Trained, tagger: Tagger, source: Path, classes: Sequence[str] | None, progress: OnProgress
) -> Iterator[dict[str, np.ndarray]]:
    total, done = jets.count(source), 0
    for sample in jets.stream(source, classes=classes):
        if not done:
            say_outside(tagger, sample, progress)
        scores = trained.predict(_examples(trained, sample))
        done += len(next(iter(scores.values())))
        progress("predicting", done / total, f"{done:,} jets")
        yield scores
