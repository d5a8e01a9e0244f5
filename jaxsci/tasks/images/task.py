"""Images of your own: classification by a dense or a convolutional network, or compression by an autoencoder."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import metrics
from jaxsci.core import Batch, Params
from jaxsci.data import images
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.losses import correct, cross_entropy, objective, squared_error
from jaxsci.models import autoencoder, convolutional, convolutional_autoencoder, dense
from jaxsci.models.convolutional import Block
from jaxsci.runs import binary_evaluation, scores_file, seen, weights
from jaxsci.runs import folder as runs
from jaxsci.runs.folder import Training
from jaxsci.runs.task import OnProgress, Session, Task, Trained
from jaxsci.tasks.images import report as images_report
from jaxsci.tasks.images.options import Options
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine
from jaxsci.training import predict as predict_all

NAME = "images"
FRACTIONS = (0.7, 0.1, 0.2)  # training, validation, test

Answer: TypeAlias = Callable[[np.ndarray], np.ndarray]  # of prepared images, each [image, ...]


class Network(NamedTuple):
    """A module of `jaxsci.models` with the configuration that fits the images."""

    module: ModuleType
    config: Any


def network(options: Options, shape: tuple[int, int, int], classes: int) -> Network:
    """The network of the chosen kind for images of this shape."""
    # Pool while a side stays at least 4 pixels and even: what is left is small enough for the dense part.
    poolings = 0
    while poolings < 3 and all(
        side % 2 ** (poolings + 1) == 0 and side // 2 ** (poolings + 1) >= 4 for side in shape[:2]
    ):
        poolings += 1
    blocks = tuple(
        Block(channels, pool=2 if i < poolings else 1) for i, channels in enumerate((16, 32, 64)[: max(poolings, 2)])
    )
    if options.model == "dense":
        return Network(dense, dense.Config(int(np.prod(shape)), outputs=classes, hidden=(256, 128)))
    if options.model == "cnn":
        return Network(convolutional, convolutional.Config(shape, outputs=classes, blocks=blocks))
    if poolings:
        config = convolutional_autoencoder.Config(shape, latent=options.latent, blocks=blocks, hidden=(64,))
        return Network(convolutional_autoencoder, config)
    return Network(autoencoder, autoencoder.Config(shape, latent=options.latent))


def make_recipe(options: Options, network: Network, examples: int) -> Recipe:
    """Cross entropy, or for the autoencoder the mean squared error, by AdamW with warm-up and cosine decay."""
    model = network.module.model(network.config)
    steps = options.epochs * steps_per_epoch(examples, options.batch_size)
    optimizer = adamw(options.learning_rate, weight_decay=1e-2, schedule=warmup_cosine(steps), clip=1.0)
    if options.model == "autoencoder":
        return Recipe(model, objective(model.apply, squared_error), optimizer)
    return Recipe(model, objective(model.apply, cross_entropy, metrics={"accuracy": correct}), optimizer)


def train(options: Options, session: Session) -> Path:
    """Train in a new run folder, evaluate on the test part, and write the report.

    Returns:
        The run folder.

    Raises:
        InputError: the images or the options cannot be used; no run folder is left behind.
    """
    sample = read(options, session.progress)
    folder = runs.new_folder(session, NAME, options.model)
    data = {
        "file": str(options.data),
        "images": len(sample.x),
        "shape": list(sample.x.shape[1:]),
        "classes": sample.classes,
        "digest": weights.digest(sample.x, sample.y),
        "split": {"fractions": FRACTIONS, "seed": options.seed},
    }
    built = network(options, sample.x.shape[1:], sample.classes)
    params = jax.eval_shape(built.module.model(built.config).init, jax.random.key(0))
    runs.write_config(folder, NAME, options, data, {"parameters": sum(leaf.size for leaf in jax.tree.leaves(params))})
    splits = split(sample.y, seed=options.seed, fractions=FRACTIONS)
    seen.save(folder, sample.x[np.concatenate(splits[:2])])
    return _train(folder, options, sample, session, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = read_options(folder)
    return _train(folder, options, read(options, session.progress), session, resume=True)


def _train(folder: Path, options: Options, sample: images.LabeledImages, session: Session, *, resume: bool) -> Path:
    splits = split(sample.y, seed=options.seed, fractions=FRACTIONS)
    built = network(options, sample.x.shape[1:], sample.classes)
    recipe = make_recipe(options, built, len(splits[0]))
    settings = Settings(options.epochs, min(options.batch_size, len(splits[0])), options.patience)
    train, validation = (as_batch(options, sample, indices) for indices in splits[:2])
    key = jax.random.key(options.seed)
    result = runs.train(
        folder, Training(recipe, settings, key), (train, validation), resume=resume, progress=session.progress
    )
    run = _Run(folder, options, _answers(built, result.params), result.history)
    train_images = sample.x[splits[0]] if options.model == "autoencoder" else None
    _evaluate(run, _take(sample, splits[2]), session, part="test", train_images=train_images)
    return folder


def _take(sample: images.LabeledImages, indices: np.ndarray) -> images.LabeledImages:
    return images.LabeledImages(sample.x[indices], sample.y[indices], sample.classes)


def read(options: Options, progress: OnProgress) -> images.LabeledImages:
    """Read the images of a run."""
    runs.require_positive(options, "latent", "epochs", "batch_size", "learning_rate", "patience")
    if options.data is None:
        raise InputError(
            "--data: expected a file of images, got none; give an .npz with x and y, or gzipped IDX images"
        )
    progress("reading images", 0.0, "")
    sample = images.read(options.data, options.labels)
    progress("reading images", 1.0, f"{len(sample.x):,} images of {sample.classes} classes")
    return sample


def as_batch(options: Options, sample: images.LabeledImages, rows: np.ndarray) -> Batch:
    """The images of these rows; the target is the class, or for the autoencoder the image itself."""
    x = sample.x[rows]
    target = x if options.model == "autoencoder" else sample.y[rows]
    return Batch(x, jnp.asarray(target), jnp.ones(len(rows)))


def read_options(folder: Path) -> Options:
    """The options a run was started with."""
    return runs.read_options(folder, NAME, Options, ("data", "labels"))


class _Run(NamedTuple):
    """A trained run with the functions that answer, and what its page says of the training."""

    folder: Path  # of the evaluation
    options: Options
    answers: dict[str, Answer]
    history: list[dict[str, Any]]


def _answers(built: Network, params: Params) -> dict[str, Answer]:
    """The outputs of the network for prepared images, and the codes of an autoencoder."""
    model = built.module.model(built.config)
    answers: dict[str, Answer] = {"outputs": partial(predict_all, model.apply, params)}
    if hasattr(built.module, "encode"):
        encode = partial(_encode, built.module.encode, built.config)
        answers["codes"] = partial(predict_all, encode, params)
    return answers


def _encode(encode: Callable[..., Any], config: Any, params: Params, x: Any) -> Any:
    return encode(params, x, config)


def load(folder: Path) -> Trained:
    """The network of a run: `predict` takes images [image, height, width(, channel)] as the run's file had them and gives "class" and
    "probability_0", ... each [image], or of an autoencoder "code_0", ....
    """
    config, options = runs.read_config(folder, NAME), read_options(folder)
    shape = tuple(config["data"]["shape"])
    built = network(options, shape, config["data"]["classes"])
    model = built.module.model(built.config)
    key = jax.random.key(options.seed)
    params, _ = runs.trained(folder, model, lambda: make_recipe(options, built, examples=1), key)
    answers = _answers(built, params)

    def prepare(x: np.ndarray) -> np.ndarray:
        return _of_shape("images", images.pixels("images", np.asarray(x)), shape)

    def predict(x: np.ndarray) -> dict[str, np.ndarray]:
        return _predictions(answers, prepare(x))

    return Trained(model, params, prepare, predict, config)


def _predictions(answers: dict[str, Answer], x: np.ndarray) -> dict[str, np.ndarray]:
    if "codes" in answers:
        codes = answers["codes"](x)
        return {f"code_{i}": codes[:, i] for i in range(codes.shape[1])}
    logits = answers["outputs"](x)
    probabilities = np.asarray(jax.nn.softmax(logits))
    return {"class": logits.argmax(1), **{f"probability_{k}": probabilities[:, k] for k in range(logits.shape[1])}}


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all images of another file.

    Returns:
        The path of the report.
    """
    config, options = runs.read_config(folder, NAME), read_options(folder)
    trained, shape = load(folder), tuple(config["data"]["shape"])
    if data is None:
        sample = read(options, session.progress)
        sample = _take(sample, split(sample.y, seed=options.seed, fractions=FRACTIONS)[2])
        target, part = folder, "test"
    else:
        sample, target, part = images.read(data), folder / "evaluations" / data.stem, data.name
        _of_shape(data, sample.x, shape)
    built = network(options, shape, config["data"]["classes"])
    run = _Run(target, options, _answers(built, trained.params), runs.read_metrics(folder))
    known = None if part == "test" else seen.overlap(folder, sample.x)
    if known:
        session.progress("evaluating", 0.0, f"warning: {known:,} of these images were used in training")
    _evaluate(run, sample, session, part=part, known=known)
    return target / "report.html"


def _of_shape(where: object, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if x.shape[1:] != shape:
        raise InputError(
            f"{where}: expected images of the run's shape {shape}, got {x.shape[1:]}; resize them or train anew"
        )
    return x


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
    outputs = run.answers["outputs"](sample.x)
    result: dict[str, Any] = {
        "task": NAME,
        "model": options.model,
        "part": part,
        "images": len(sample.x),
        "known": known,
    }
    codes = None
    if "codes" in run.answers:
        codes = run.answers["codes"](sample.x)
        result["metrics"] = reconstruction(sample.x, outputs)
        if train_images is not None:
            pca = pca_error(train_images, sample.x, options.latent)
            result["baseline"] = {
                "name": f"PCA, {options.latent} components",
                "metrics": {"reconstruction_error": {"value": pca}},
            }
    else:
        result["metrics"] = classification(outputs, sample.y, sample.classes)
    write_json(run.folder / "evaluation.json", result)
    session.progress("evaluating", 0.5, "figures")
    images_report.write(run.folder, result, images_report.Measured(sample, outputs, codes, run.history))
    session.progress("evaluating", 1.0, "")


def classification(logits: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    """Confusion matrix, accuracy with its interval, and recall, precision and F1 a class and their means over the classes."""
    z, y = jnp.asarray(logits), jnp.asarray(labels)
    matrix = metrics.confusion_matrix(metrics.predicted_class(z), y, classes=classes)
    interval = metrics.binomial_interval(jnp.trace(matrix), jnp.sum(matrix), level=binary_evaluation.LEVEL)
    result: dict[str, Any] = {"accuracy": binary_evaluation.estimate(metrics.accuracy(matrix), interval)}
    per_class = {}
    for name, measure in (("recall", metrics.recall), ("precision", metrics.precision), ("f1", metrics.f1)):
        result[f"{name}_macro"] = {"value": binary_evaluation.number(measure(matrix, average="macro"))}
        per_class[name] = [binary_evaluation.number(value) for value in measure(matrix)]
    result["per_class"] = per_class
    result["confusion_matrix"] = np.asarray(matrix).tolist()
    return result


def reconstruction(images: np.ndarray, reconstructions: np.ndarray) -> dict[str, Any]:
    """Mean squared error a pixel over all images, with the standard error of the mean over images as its interval."""
    errors = np.asarray(np.mean(np.square(images - reconstructions), axis=(1, 2, 3), dtype=np.float64))
    mean, deviation = float(errors.mean()), float(errors.std(ddof=1) / np.sqrt(len(errors)))
    return {"reconstruction_error": {"value": mean, "lower": mean - deviation, "upper": mean + deviation}}


def pca_error(train: np.ndarray, test: np.ndarray, components: int) -> float:
    """Mean squared error of the test images after projection on the leading principal components of the training images."""
    flat_train, flat_test = (x.reshape(len(x), -1).astype(np.float64) for x in (train, test))
    mean = flat_train.mean(0)
    covariance = (flat_train - mean).T @ (flat_train - mean)
    basis = np.linalg.eigh(covariance)[1][:, -components:]
    rest = (flat_test - mean) - (flat_test - mean) @ basis @ basis.T
    return float(np.mean(np.square(rest)))


def predict(folder: Path, source: Path, out: Path, session: Session) -> None:
    """Write the probability of every class for each image of `source`, or the code of the autoencoder."""
    scores_file.check(out)
    trained = load(folder)
    x = _of_shape(source, images.read_unlabeled(source), tuple(trained.config["data"]["shape"]))

    def chunks(size: int = 10_000) -> Iterator[dict[str, np.ndarray]]:
        for first in range(0, len(x), size):
            yield trained.predict(x[first : first + size])
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
    lower_is_better=("reconstruction_error",),
    headline=("metrics/accuracy", "metrics/f1_macro", "metrics/reconstruction_error"),
)
