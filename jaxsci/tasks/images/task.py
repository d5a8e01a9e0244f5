"""Images of your own: classification by a dense or a convolutional network, or compression by an autoencoder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxsci.core import Params
from jaxsci.data import images
from jaxsci.errors import InputError
from jaxsci.models.heads import inference
from jaxsci.runs import folder as runs
from jaxsci.runs import schema, seen, weights
from jaxsci.runs.folder import Training
from jaxsci.runs.task import Session, Sweep, Task, Trained
from jaxsci.runs.training import require_devices
from jaxsci.tasks import ensembles, own_network, parts, scores_file
from jaxsci.tasks.ensembles import Answers
from jaxsci.tasks.images import metrics as measures
from jaxsci.tasks.images import report as images_report
from jaxsci.tasks.images import trials
from jaxsci.tasks.images.networks import Network, make_recipe, name, network
from jaxsci.tasks.images.options import MODELS, Options
from jaxsci.tasks.images.rows import (
    FRACTIONS,
    NAME,
    Given,
    as_batch,
    of_shape,
    read,
    read_again,
    read_options,
    take,
    top_of,
    unit_of,
    warn_of_scale,
)
from jaxsci.tasks.images.study import study
from jaxsci.training import Settings
from jaxsci.training import predict as predict_all


def train(options: Options, session: Session) -> Path:
    """Train in a new run folder, evaluate on the test part, and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: the images or the options cannot be used; no run folder is left behind.
    """
    ensembles.require(options.members, session.execution)
    sample, splits = read(options, session.progress)
    hashes = seen.hashes(sample.x)
    compared = parts.compare(options, hashes, splits, "images", session.progress)
    built = network(options, sample.x.shape[1:], sample.classes)
    if built.encode is not None and options.members > 1:
        raise InputError(
            f"--members: expected 1 for an autoencoder, whose codes mean another thing in each, got {options.members}; leave it out"
        )
    require_devices(built.model, session.execution)
    with runs.whole_folder(session, NAME, name(options)) as folder:
        data = {
            "file": str(options.data),
            "images": len(sample.x),
            "shape": list(sample.x.shape[1:]),
            "classes": sample.classes,
            "unit": sample.unit,
            "top": top_of(sample.x),
            "names": sample.names,
            "digest": weights.digest(sample.x, sample.y),
            "split": {
                "fractions": FRACTIONS if sample.part is None else "of the file",
                "seed": options.seed,
                **compared,
            },
        }
        if options.model not in MODELS:
            data["network"] = own_network.describe(options.model)
            own_network.keep(folder, options.model)
        chosen = {"parameters": weights.number(built.model)}
        chosen |= {"members": options.members} if options.members > 1 else {}
        runs.write_config(folder, NAME, options, data, chosen)
        seen.save_hashes(folder, hashes[np.concatenate(splits[:2])])
    return _train(folder, options, (sample, splits), session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = read_options(folder)
    ensembles.require(options.members, session.execution)
    sample, splits = read_again(folder, options, session.progress)
    return _train(folder, options, (sample, splits), session, resume=True)


def _train(folder: Path, options: Options, given: Given, session: Session, *, resume: bool) -> Path:
    sample, splits = given
    built = network(options, sample.x.shape[1:], sample.classes)
    recipe = make_recipe(options, built, len(splits[0]))
    settings = Settings(options.epochs, min(options.batch_size, len(splits[0])), options.patience)
    train, validation = (as_batch(options, sample, indices) for indices in splits[:2])
    result = runs.train(
        folder,
        Training(recipe, settings, ensembles.keys(options.seed, options.members)),
        (train, validation),
        resume=resume,
        progress=session.progress,
        execution=session.execution,
    )
    run = _Run(folder, options, *_answering(options, built, result.params), result.history)
    train_images = sample.x[splits[0]] if options.model == "autoencoder" else None
    known = parts.known(runs.read_config(folder))
    _evaluate(run, take(sample, splits[2]), session, part="test", known=known, train_images=train_images)
    return folder


class _Run(NamedTuple):
    """A trained run with the functions that answer, and what its page says of the training."""

    folder: Path  # of the evaluation
    options: Options
    answer: Callable[[np.ndarray], Answers]  # of images
    encode: Callable[[np.ndarray], np.ndarray] | None  # the codes of an autoencoder
    history: list[dict[str, Any]]


def _answering(options: Options, built: Network, params: Params) -> tuple[Callable[..., Answers], Any]:
    """What the network says of prepared images, and of an autoencoder what makes its codes."""
    codes = None if built.encode is None else partial(predict_all, built.encode, params)
    return ensembles.answering(inference(built.model), params, options.members), codes


def load(folder: Path) -> Trained:
    """The network of a run: `predict` takes images [image, height, width(, channel)] as the run's file had them, whole numbers of the same
    range or real numbers, and gives "class" and "probability_0", ... each [image], with the names of classes for their numbers where labels
    were text, or of an autoencoder "code_0", .... An ensemble adds "spread", the standard deviation of the probability of the class over
    its members.
    """
    config, options = runs.read_config(folder, NAME), read_options(folder)
    schema.require_whole(folder / "config.json", config.get("data"), "shape", "classes")
    shape = tuple(config["data"]["shape"])
    built = network(options, shape, config["data"]["classes"])
    key = ensembles.keys(options.seed, options.members)
    params, _ = runs.trained(folder, built.model, lambda: make_recipe(options, built, examples=1), key)
    say = _saying(options, built, params, _names(config))

    def prepare(x: np.ndarray) -> np.ndarray:
        return of_shape("images", images.pixels("images", np.asarray(x), unit_of(config)), shape)

    def predict(x: np.ndarray) -> dict[str, np.ndarray]:
        return say(prepare(x))

    unit = unit_of(config) or 1
    kind = np.float32 if unit == 1 else np.uint8 if unit == 255 else np.uint16
    return Trained(inference(built.model), params, prepare, predict, config, np.zeros((1, *shape), kind))


def _names(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names of a run's classes; None where they are numbers."""
    names = config["data"].get("names")
    return None if names is None else tuple(names)


def _saying(
    options: Options, built: Network, params: Params, names: Sequence[str] | None
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The columns of predictions for prepared images."""
    answer, encode = _answering(options, built, params)
    return lambda x: _predictions(answer(x), names, options.threshold) if encode is None else _coded(encode(x))


def _coded(codes: np.ndarray) -> dict[str, np.ndarray]:
    return {f"code_{i}": codes[:, i] for i in range(codes.shape[1])}


def _predictions(answers: Answers, names: Sequence[str] | None, threshold: float | None) -> dict[str, np.ndarray]:
    probabilities = np.asarray(jax.nn.softmax(answers.outputs))
    each = {f"probability_{name}": probabilities[:, k] for k, name in enumerate(names or range(probabilities.shape[1]))}
    best = measures.decided(answers.outputs, threshold)
    return {"class": best if names is None else np.array(names)[best], **each, **answers.spreads()}


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all images of another file.

    Returns:
        The path of the report.
    """
    config, options = runs.read_config(folder, NAME), read_options(folder)
    trained, shape = load(folder), tuple(config["data"]["shape"])
    if data is None:
        sample, splits = read_again(folder, options, session.progress)
        sample = take(sample, splits[2])
        target, part = folder, "test"
    else:
        sample = images.read(data, classes=config["data"]["classes"], unit=unit_of(config), names=_names(config))
        target, part = folder / "evaluations" / data.stem, data.name
        of_shape(data, sample.x, shape)
        warn_of_scale(data, sample.x, config, session.progress)
    built = network(options, shape, config["data"]["classes"])
    run = _Run(target, options, *_answering(options, built, trained.params), runs.read_metrics(folder))
    known = parts.known(config) if data is None else seen.overlap(folder, sample.x)
    if known and data is not None:
        session.progress("evaluating", 0.0, f"warning: {known:,} of these images were used in training")
    _evaluate(run, sample, session, part=part, known=known)
    return target / "report.html"


def _evaluate(
    run: _Run,
    sample: images.LabeledImages,
    session: Session,
    *,
    part: str,
    known: int | None = None,
    train_images: np.ndarray | None = None,
) -> None:
    session.progress("evaluating", 0.0, "")
    options = run.options
    answers = run.answer(sample.x)
    result: dict[str, Any] = {
        "task": NAME,
        "model": name(options),
        "part": part,
        "images": len(sample.x),
        "known": known,
    }
    codes = None
    if run.encode is not None:
        codes = run.encode(sample.x)
        result["metrics"] = measures.reconstruction(sample.x, answers.outputs)
        if train_images is not None:
            pca = measures.pca_error(train_images, sample.x, options.latent)
            result["baseline"] = {
                "name": f"PCA, {options.latent} components",
                "metrics": {"reconstruction_error": {"value": pca}},
            }
    else:
        measure = partial(measures.classification, labels=sample.y, classes=sample.classes, threshold=options.threshold)
        result |= {"balance": options.balance, "threshold": options.threshold, "names": sample.names}
        result["metrics"] = measure(answers.outputs)
        if answers.members is not None and answers.spread is not None:
            result |= ensembles.measured(measure, answers.members, answers.spread)
    runs.write_record(run.folder / "evaluation.json", result)
    session.progress("evaluating", 0.5, "figures")
    images_report.write(run.folder, result, images_report.Measured(sample, answers, codes, run.history))
    session.progress("evaluating", 1.0, "")


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the probability of every class for each image of `source`, or the code of the autoencoder."""
    scores_file.check(out, source)
    trained, options = load(folder), read_options(folder)
    data = trained.config["data"]
    shape = tuple(data["shape"])
    x = of_shape(source, images.read_unlabeled(source, unit=unit_of(trained.config)), shape)
    warn_of_scale(source, x, trained.config, session.progress)
    say = _saying(
        options, network(options, shape, data["classes"]), trained.params, _names(trained.config)
    )  # x is prepared already

    def chunks(size: int = 10_000) -> Iterator[dict[str, np.ndarray]]:
        for first in range(0, len(x), size):
            yield say(x[first : first + size])
            done = min(first + size, len(x))
            session.progress("predicting", done / len(x), f"{done:,} images")

    scores_file.write(out, chunks())


TASK = Task(
    NAME,
    train,
    resume=resume,
    evaluate=evaluate,
    load=load,
    predict=predict,
    study=study,
    sweep=Sweep(trials.parts, trials.trial, trials.own),
    lower_is_better=("reconstruction_error", "log_loss", "calibration_error"),
    headline=("members", "metrics/accuracy", "metrics/f1_macro", "metrics/reconstruction_error"),
)
