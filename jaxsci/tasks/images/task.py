"""Images of your own: classification by a dense or a convolutional network, or compression by an autoencoder."""

import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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
from jaxsci.runs import binary_evaluation, scores_file
from jaxsci.runs import folder as runs
from jaxsci.runs.task import OnProgress, Session, Task
from jaxsci.tasks.images import report as images_report
from jaxsci.tasks.images.options import Options
from jaxsci.training import Recipe, Settings, adamw, steps_per_epoch, warmup_cosine
from jaxsci.training import predict as predict_all

NAME = "images"
FRACTIONS = (0.7, 0.1, 0.2)  # training, validation, test


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
        "digest": hashlib.sha256(np.ascontiguousarray(sample.y).tobytes()).hexdigest()[:16],
        "split": {"fractions": FRACTIONS, "seed": options.seed},
    }
    runs.write_config(folder, NAME, options, data)
    return _train(folder, options, sample, session.progress, resume=False)


def resume(folder: Path, session: Session) -> Path:
    """Go on with a run that was stopped; ends with the same parameters, bit for bit, as if it had not been."""
    options = read_options(folder)
    return _train(folder, options, read(options, session.progress), session.progress, resume=True)


def _train(folder: Path, options: Options, sample: images.LabeledImages, progress: OnProgress, *, resume: bool) -> Path:
    parts = split(sample.y, seed=options.seed, fractions=FRACTIONS)
    built = network(options, sample.x.shape[1:], sample.classes)
    recipe = make_recipe(options, built, len(parts[0]))
    settings = Settings(options.epochs, min(options.batch_size, len(parts[0])), options.patience)
    batches = tuple(as_batch(options, sample, rows) for rows in parts[:2])
    key = jax.random.key(options.seed)
    result = runs.train(
        folder, recipe, (batches[0], batches[1]), key=key, settings=settings, resume=resume, progress=progress
    )
    test = images.LabeledImages(sample.x[parts[2]], sample.y[parts[2]], sample.classes)
    train_images = sample.x[parts[0]] if options.model == "autoencoder" else None
    _evaluate(
        folder, options, built, result.params, test, result.history, progress, part="test", train_images=train_images
    )
    return folder


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


def trained(folder: Path, options: Options) -> tuple[Network, Params, list[dict[str, Any]]]:
    """The network of a run, the parameters of its best epoch, and its history."""
    data = runs.read_config(folder, NAME)["data"]
    built = network(options, tuple(data["shape"]), data["classes"])
    recipe = make_recipe(options, built, examples=1)  # the length of the training shapes no array of its state
    return built, *runs.trained(folder, recipe, jax.random.key(options.seed))


def evaluate(folder: Path, data: Path | None, session: Session) -> Path:
    """Evaluate a trained run on its test part, or on all images of another file.

    Returns:
        The path of the report.
    """
    options, progress = read_options(folder), session.progress
    built, params, history = trained(folder, options)
    if data is None:
        sample = read(options, progress)
        rows = split(sample.y, seed=options.seed, fractions=FRACTIONS)[2]
        sample, target, part = images.LabeledImages(sample.x[rows], sample.y[rows], sample.classes), folder, "test"
    else:
        sample, target, part = images.read(data), folder / "evaluations" / data.stem, data.name
        _check_shape(data, sample.x, built)
    _evaluate(target, options, built, params, sample, history, progress, part=part)
    return target / "report.html"


def _check_shape(path: Path, x: np.ndarray, built: Network) -> None:
    expected = (
        int(np.prod(x.shape[1:])) == built.config.inputs if built.module is dense else x.shape[1:] == built.config.shape
    )
    if not expected:
        wanted = built.config.inputs if built.module is dense else built.config.shape
        raise InputError(
            f"{path}: expected images of the run's shape {wanted}, got {x.shape[1:]}; resize them or train anew"
        )


def _evaluate(
    folder: Path,
    options: Options,
    built: Network,
    params: Params,
    sample: images.LabeledImages,
    history: list[dict[str, Any]],
    progress: OnProgress,
    *,
    part: str,
    train_images: np.ndarray | None = None,
) -> None:
    progress("evaluating", 0.0, "")
    model = built.module.model(built.config)
    outputs = predict_all(model.apply, params, sample.x)
    result: dict[str, Any] = {"task": NAME, "model": options.model, "part": part, "images": len(sample.x)}
    codes = None
    if options.model == "autoencoder":
        codes = predict_all(lambda p, x: built.module.encode(p, x, built.config), params, sample.x)
        result["metrics"] = reconstruction(sample.x, outputs)
        if train_images is not None:
            pca = pca_error(train_images, sample.x, options.latent)
            result["baseline"] = {
                "name": f"PCA, {options.latent} components",
                "metrics": {"reconstruction_error": {"value": pca}},
            }
    else:
        result["metrics"] = classification(outputs, sample.y, sample.classes)
    write_json(folder / "evaluation.json", result)
    progress("evaluating", 0.5, "figures")
    images_report.write(folder, result, sample, outputs, codes, history)
    progress("evaluating", 1.0, "")


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
    options = read_options(folder)
    scores_file.check(out)
    built, params, _ = trained(folder, options)
    x = images.read_unlabeled(source)
    _check_shape(source, x, built)

    def chunks(size: int = 10_000) -> Any:
        for first in range(0, len(x), size):
            part = x[first : first + size]
            session.progress("predicting", (first + len(part)) / len(x), f"{first + len(part):,} images")
            if options.model == "autoencoder":
                codes = predict_all(lambda p, x: built.module.encode(p, x, built.config), params, part)
                yield {f"code_{i}": codes[:, i] for i in range(codes.shape[1])}
            else:
                logits = predict_all(built.module.model(built.config).apply, params, part)
                probabilities = np.asarray(jax.nn.softmax(logits))
                yield {
                    "class": logits.argmax(1),
                    **{f"probability_{k}": probabilities[:, k] for k in range(logits.shape[1])},
                }

    scores_file.write(out, chunks())


TASK = Task(NAME, train, resume=resume, evaluate=evaluate, predict=predict, lower_is_better=("reconstruction_error",))
