"""What is computed for a study, each part ready for JSON."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import gradients
from jaxsci.core import Key, LossFn
from jaxsci.errors import InputError
from jaxsci.gradients import Estimate, Operator
from jaxsci.losses import objective
from jaxsci.runs.task import OnProgress
from jaxsci.tasks.study.subject import Subject

EIGENVALUES = 10
STEPS = 30  # of Lanczos for them
POINTS = 400  # of the spectral density
DAMPING = 0.01  # of the curvature for the influence, in units of its largest eigenvalue
BATCH = 256  # examples at a time


def loss_of(subject: Subject) -> LossFn:
    """The training loss, without what was random in it."""
    return objective(subject.apply, subject.example_loss)


def spectrum(subject: Subject, loss: LossFn, progress: OnProgress) -> dict[str, Any]:
    """Largest and smallest eigenvalues, trace and density of the Hessian, each with its error."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(subject.seed), 2), 4)
    progress("curvature", 0.0, "eigenvalues")
    hessian = gradients.hessian(loss, subject.params, subject.train, batch_size=BATCH)
    largest = _largest(hessian, keys[0])
    progress("curvature", 0.3, "eigenvalues")
    lowest = _largest(hessian, keys[1], sign=-1.0)
    progress("curvature", 0.5, "trace")
    trace = gradients.trace(hessian, key=keys[2], probes=8, rank=8)
    progress("curvature", 0.7, "density")
    low, high = -float(lowest.value[0]), float(largest.value[0])
    width = (high - low or 1.0) / 100
    grid = jnp.linspace(low - 5 * width, high + 5 * width, POINTS)
    density = gradients.spectral_density(hessian, grid, width=width, key=keys[3], probes=4, steps=32)
    progress("curvature", 1.0, f"largest eigenvalue {high:.3g}")
    return {
        "parameters": hessian.size,
        "largest": [_pair(value, error) for value, error in zip(*map(np.asarray, largest), strict=True)],
        "smallest": {"value": low, "error": float(lowest.error[0])},
        "trace": _pair(trace.value, trace.error),
        "density": {
            "eigenvalue": np.asarray(grid).tolist(),
            "value": np.asarray(density.value).tolist(),
            "error": np.asarray(density.error).tolist(),
            "width": width,
        },
    }


def sharpness(subject: Subject, loss: LossFn, progress: OnProgress) -> list[dict[str, Any]]:
    """The largest eigenvalue of the Hessian, and the loss, at every moment of the training of which there are weights."""
    key = jax.random.fold_in(jax.random.key(subject.seed), 3)
    moments = {**subject.others, "at the best epoch": subject.params}
    mean = jax.jit(lambda params, batch: loss(params, batch)[0])
    found = []
    for number, (name, params) in enumerate(moments.items()):
        progress("sharpness", number / len(moments), name)
        largest = _largest(gradients.hessian(loss, params, subject.train, batch_size=BATCH), key)
        found.append(
            {"moment": name, **_pair(largest.value[0], largest.error[0]), "loss": float(mean(params, subject.train))}
        )
    progress("sharpness", 1.0, "")
    return found


def _largest(operator: Operator, key: Key, sign: float = 1.0) -> Estimate:
    """The largest eigenvalues; with the sign -1 minus the smallest. One program serves all signs and weights: it compiles long."""
    found, _ = gradients.top_eigenpairs(sign * operator, min(EIGENVALUES, operator.size), key=key, steps=STEPS)
    return found


def pulls(subject: Subject, loss: LossFn, progress: OnProgress) -> dict[str, Any]:
    """Lengths of the gradients of the training examples, whole and by layer, and the noise scale.

    Raises:
        InputError: a gradient that is not finite.
    """
    progress("gradients", 0.0, "norms")
    squares = jax.jit(partial(gradients.squared_norms, loss, per_leaf=True))(subject.params, subject.train)
    by_layer: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(squares)[0]:
        layer = jax.tree_util.keystr(path[:-1] or path, simple=True, separator="/")
        by_layer[layer] = by_layer.get(layer, np.zeros(len(leaf))) + np.asarray(leaf, np.float64)
    norms = np.sqrt(np.sum(list(by_layer.values()), axis=0))
    if not np.isfinite(norms).all():
        number = int(np.argmin(np.isfinite(norms)))
        raise InputError(
            f"study: expected finite gradients, got another of training example {number} of those studied; mend the data or train anew"
        )
    progress("gradients", 0.5, "noise scale")
    noise = jax.jit(partial(gradients.noise_scale, loss))(subject.params, subject.train)
    progress("gradients", 1.0, "")
    ends = {"value": noise.scale, "lower": noise.low, "upper": noise.high}
    return {
        "norms": norms.tolist(),
        "layers": {
            name: {kind: float(np.sqrt(np.median(values[of]))) for kind, of in subject.classes.items() if of.any()}
            for name, values in by_layer.items()
        },
        "noise scale": {name: float(end) if np.isfinite(end) else None for name, end in ends.items()},
    }


def influences(subject: Subject, loss: LossFn, progress: OnProgress) -> list[float]:
    """[training example]: by how much the mean validation loss would rise without it, to first order.

    (w_i / W) grad V^T (C + damping)^-1 grad loss_i     with the mean validation loss V and the curvature C of the training loss.
    """
    progress("influence", 0.0, "")
    curvature = _curvature(subject)
    largest, _ = gradients.top_eigenpairs(curvature, 1, key=jax.random.fold_in(jax.random.key(subject.seed), 4))
    progress("influence", 0.3, "")
    slope = jax.jit(jax.grad(lambda params, batch: loss(params, batch)[0]))(subject.params, subject.validation)
    direction = gradients.solve(curvature + DAMPING * largest.value[0], slope).value
    progress("influence", 0.9, "")
    along = jax.jit(partial(gradients.inner_products, loss))(subject.params, subject.train, direction)
    shares = np.asarray(subject.train.weight, np.float64)
    progress("influence", 1.0, "")
    return (shares / shares.sum() * np.asarray(along, np.float64)).tolist()


def _curvature(subject: Subject) -> Operator:
    """Of the training loss, positive semidefinite."""
    given: Any = (subject.apply, subject.example_loss, subject.params, subject.train)
    if subject.convex:
        return gradients.gauss_newton(*given, batch_size=BATCH)
    return gradients.fisher(*given, kind="empirical", batch_size=BATCH)


def _pair(value: Any, error: Any) -> dict[str, float]:
    return {"value": float(value), "error": float(error)}
