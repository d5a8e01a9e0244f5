"""What the gradients of a trained tagger say: curvature of its loss, noise of its gradients, and the jets that made it what it is."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import gradients
from jaxsci.core import Array, Batch, Params, StatefulModel
from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.gradients import Estimate
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.runs.task import Session
from jaxsci.tasks.top_tagging import own, study_page
from jaxsci.tasks.top_tagging.evaluation import load
from jaxsci.tasks.top_tagging.jobs import NAME, Job, as_batch, make_inputs, prepare, read_options
from jaxsci.tasks.top_tagging.samples import class_names, labels_of, take

EIGENVALUES = 10
POINTS = 400  # of the spectral density
NAMED = 8  # jets that harm and jets that help most
DAMPING = 0.01  # of the Gauss-Newton matrix, in units of its largest eigenvalue


class Examples(NamedTuple):
    """Jets of a part of the run's file, with what the tagger takes of them."""

    numbers: np.ndarray  # [jet], of each in the file
    batch: Batch


def study(folder: Path, max_examples: int, session: Session) -> Path:
    """Write study.json, its figures and study.html into the folder of a trained run.

    Args:
        folder: of the run.
        max_examples: training jets, and as many validation jets at most, that everything is computed on: the first of each part,
            whose order is random.
        session: for its progress.

    Returns:
        The path of the page.

    Raises:
        InputError: not a trained run, its jets cannot be read any more, or fewer than two jets are asked for.
    """
    if max_examples < 2:
        raise InputError(f"--max-examples: expected at least 2, got {max_examples}; give more, or leave it out")
    options = read_options(folder)
    if options.members > 1:
        raise InputError(
            f"{folder}: expected a run of one network, got an ensemble of {options.members}, whose loss has as many curvatures; study one"
        )
    if len(class_names(options)) > 2:
        raise InputError(f"{folder}: expected a tagger of two classes, got more; study one of two")
    trained, job = load(folder), prepare(options, session.progress)
    if isinstance(job.tagger.model, StatefulModel):
        raise InputError(
            f"{folder}: expected a network without state, got one with batch statistics or dropout, whose training loss is no mean of "
            "losses of single jets; study one without"
        )
    train, validation = (_examples(job, part[:max_examples], session) for part in job.splits[:2])
    loss = objective(trained.model.apply, binary_cross_entropy)
    key = jax.random.fold_in(jax.random.key(job.options.seed), 2)

    session.progress("curvature", 0.0, "eigenvalues")
    hessian = gradients.hessian(loss, trained.params, train.batch)
    result: dict[str, Any] = {"task": NAME, "tagger": own.name(job.options), "training jets": len(train.numbers)}
    result["validation jets"] = len(validation.numbers)
    result["hessian"] = _spectrum(hessian, key, session)

    session.progress("gradients", 0.0, "norms")
    norms = np.sqrt(np.asarray(gradients.squared_norms(loss, trained.params, train.batch)))
    noise = gradients.noise_scale(loss, trained.params, train.batch)
    result["noise scale"] = {"value": _number(noise.scale), "lower": _number(noise.low), "upper": _number(noise.high)}
    session.progress("gradients", 1.0, f"noise scale {float(noise.scale):,.0f} jets")

    found = _influence(trained.model.apply, trained.params, train.batch, validation.batch, key, session)
    logits = np.asarray(jax.jit(jax.vmap(trained.model.apply, in_axes=(None, 0)))(trained.params, train.batch.x))
    order = np.argsort(found)
    named = {"harmful": order[:NAMED], "helpful": order[::-1][:NAMED]}
    labels = np.asarray(train.batch.y)
    result["influence"] = {
        name: [
            {
                "jet": int(train.numbers[i]),
                "label": int(labels[i]),
                "probability": float(1 / (1 + np.exp(-np.float64(logits[i])))),
                "influence": float(found[i]),
                "gradient norm": float(norms[i]),
            }
            for i in rows
        ]
        for name, rows in named.items()
    }
    result["gradient norms"] = {
        name: {f"{q:.0%}": float(np.quantile(norms[labels == label], q)) for q in (0.16, 0.5, 0.84, 0.99)}
        for label, name in enumerate(("QCD", "top"))
        if (labels == label).any()
    }
    write_json(folder / "study.json", result)
    jets_of = {name: take(job.sample, train.numbers[rows]) for name, rows in named.items()}
    return study_page.write(folder, result, study_page.Drawn(norms, labels, jets_of))


def _examples(job: Job, numbers: np.ndarray, session: Session) -> Examples:
    sample = take(job.sample, numbers)
    inputs = make_inputs(job.tagger, sample, session.progress)
    return Examples(numbers, as_batch(inputs, labels_of(sample), np.arange(len(numbers))))


def _spectrum(hessian: gradients.Operator, key: Array, session: Session) -> dict[str, Any]:
    """Largest and smallest eigenvalues, trace and density of the Hessian, each with its error."""
    keys = jax.random.split(key, 4)
    count = min(EIGENVALUES, hessian.size)
    largest, _ = gradients.top_eigenpairs(hessian, count, key=keys[0])
    session.progress("curvature", 0.3, "eigenvalues")
    lowest, _ = gradients.top_eigenpairs(-1.0 * hessian, 1, key=keys[1])
    session.progress("curvature", 0.5, "trace")
    trace = gradients.trace(hessian, key=keys[2], probes=8, rank=8)
    session.progress("curvature", 0.7, "density")
    low, high = -float(lowest.value[0]), float(largest.value[0])
    width = (high - low or 1.0) / 100
    grid = jnp.linspace(low - 5 * width, high + 5 * width, POINTS)
    density = gradients.spectral_density(hessian, grid, width=width, key=keys[3], probes=4, steps=32)
    session.progress("curvature", 1.0, f"largest eigenvalue {high:.3g}")
    return {
        "parameters": hessian.size,
        "largest": _listed(largest),
        "smallest": {"value": low, "error": float(lowest.error[0])},
        "trace": {"value": float(trace.value), "error": float(trace.error)},
        "density": {
            "eigenvalue": np.asarray(grid).tolist(),
            "value": np.asarray(density.value).tolist(),
            "error": np.asarray(density.error).tolist(),
            "width": width,
        },
    }


def _influence(apply: Any, params: Params, train: Batch, validation: Batch, key: Array, session: Session) -> np.ndarray:
    """[training jet]: by how much the mean validation loss would rise without it."""
    session.progress("influence", 0.0, "")
    curvature = gradients.gauss_newton(apply, binary_cross_entropy, params, train)
    largest, _ = gradients.top_eigenpairs(curvature, 1, key=key)
    loss = objective(apply, binary_cross_entropy)
    damping = DAMPING * float(largest.value[0])
    found = gradients.influence(
        apply, binary_cross_entropy, params, train, lambda p: loss(p, validation)[0], damping=damping
    )
    session.progress("influence", 1.0, "")
    return np.asarray(found)


def _listed(estimate: Estimate) -> list[dict[str, float]]:
    pairs = zip(np.asarray(estimate.value), np.asarray(estimate.error), strict=True)
    return [{"value": float(value), "error": float(error)} for value, error in pairs]


def _number(value: Any) -> float | None:
    """A JSON number; None for infinity."""
    number = float(value)
    return number if np.isfinite(number) else None
