"""Intervals of Tc by three methods side by side: Laplace's posterior of a network, the ensemble of the run, a Gaussian process."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import gradients
from jaxsci.core import Array, Batch, Params
from jaxsci.gradients import Laplace
from jaxsci.losses import squared_error
from jaxsci.runs.task import OnProgress
from jaxsci.tasks.superconductors import evaluation, gaussian_process
from jaxsci.tasks.superconductors.ensemble.prediction import NORMAL_95
from jaxsci.tasks.superconductors.inputs import Job
from jaxsci.tasks.superconductors.networks import UNIT, Network, to_units
from jaxsci.training import predict

PROCESS = 5000  # training materials of the process at most
_STEPS = 100  # towards the largest evidence


class Normal(NamedTuple):
    """Predictions of new measurements, in the units of the networks."""

    mean: np.ndarray  # [material]
    deviation: np.ndarray  # [material]


def of_laplace(network: Network, params: Params, known: Batch, asked: np.ndarray) -> Normal:
    """The posterior of the last layer of one network, under a normal likelihood of its median; prior and noise of largest evidence.

    The output is linear in the last layer, so that the posterior needs no further approximation but the network's own features.

    Args:
        network: of superconductors, which predicts Tc.
        params: of one member.
        known: training materials with Tc in the network's units.
        asked: amounts [material, 96].
    """
    column = _column(params)
    slopes = _slopes(network)
    features, of_asked = (predict(slopes, params, x) for x in (known.x, asked))
    linear = {"column": column}
    posterior = gradients.laplace(_linear, squared_error, linear, known._replace(x=features), noise=1.0)
    posterior = _of_largest_evidence(posterior, column)
    mean, variance = posterior.outputs(jnp.asarray(of_asked))
    return Normal(np.asarray(mean), np.sqrt(np.asarray(variance) + float(posterior.noise) ** 2))


def of_process(
    config: gaussian_process.Config,
    known: Batch,
    asked: np.ndarray,
    table: np.ndarray,
    seed: int,
    *,
    most: int = PROCESS,
) -> Normal:
    """A Gaussian process conditioned on the training materials, or on so many of them drawn at random."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(known.y))[:most])
    found = jax.jit(partial(gaussian_process.predictive, config=config))(
        jnp.asarray(known.x)[rows], jnp.asarray(known.y)[rows], jnp.asarray(asked), table=jnp.asarray(table)
    )
    return Normal(*map(np.asarray, found))


class Interval(NamedTuple):
    """Predictions of Tc with the ends of their 90 % intervals, in K."""

    center: np.ndarray  # [material]
    lower: np.ndarray
    upper: np.ndarray

    def holds(self, tc: np.ndarray) -> np.ndarray:
        """Whether each interval holds Tc in K, bool [material]."""
        return np.asarray((tc >= self.lower) & (tc <= self.upper))


def side_by_side(
    job: Job,
    params: Params,
    ensemble: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    test: np.ndarray,
    progress: OnProgress,
) -> dict[str, Interval]:
    """The intervals of Laplace's posterior, a Gaussian process and an ensemble for the same materials, which none has seen.

    Args:
        job: whose training materials the first two know.
        params: of one network, for Laplace.
        ensemble: amounts [material, 96] -> predictions as from `prediction.predict`.
        test: numbers of the materials.
        progress: called with the stage "intervals".
    """
    sample, network = job.sample, job.network
    train = sample.splits[0]
    known, asked = batch_of(sample.amounts[train], sample.tc[train]), sample.amounts[test]
    progress("intervals", 0.0, "Laplace")
    laplace = of_laplace(network, params, known, asked)
    progress("intervals", 0.3, "Gaussian process")
    config = network.gp or gaussian_process.Config()
    process = of_process(config, known, asked, job.table, job.options.seed)
    progress("intervals", 0.9, "ensemble")
    found = ensemble(asked)
    progress("intervals", 1.0, "")
    return {
        "Laplace": in_kelvin(laplace),
        "Gaussian process": in_kelvin(process),
        "ensemble": Interval(found["tc"], found["tc_lower"], found["tc_upper"]),
    }


def in_kelvin(normal: Normal) -> Interval:
    """The 90 % interval of a normal prediction; Tc is never negative."""
    half = NORMAL_95 * normal.deviation
    return Interval(*(UNIT * np.maximum(end, 0) for end in (normal.mean, normal.mean - half, normal.mean + half)))


def measured(interval: Interval, tc: np.ndarray) -> dict[str, Any]:
    """How often the interval holds Tc in K, its mean width, and the root mean square error of the center."""
    inside = interval.holds(tc)
    return {
        "coverage": evaluation.fraction(int(inside.sum()), len(inside)),
        "width": float(np.mean(interval.upper - interval.lower)),
        "rmse": float(np.sqrt(np.mean(np.square(interval.center.astype(np.float64) - tc)))),
    }


def batch_of(amounts: np.ndarray, tc: np.ndarray) -> Batch:
    """Materials with Tc in K as a batch in the network's units."""
    return Batch(amounts, to_units(tc).astype(np.float32), np.ones(len(tc), np.float32))


def _linear(params: Params, features: Array) -> Array:
    output: Array = features @ params["column"]
    return output


def _last(params: Params) -> tuple[str, int]:
    """The name of the last layer, and which of its outputs is the median."""
    name = f"layer_{len(params['rho']) - 1}"
    return name, params["rho"][name]["kernel"].shape[1] // 2


def _column(params: Params) -> Array:
    """The weights of the median in the last layer, and its bias."""
    name, middle = _last(params)
    layer = params["rho"][name]
    return jnp.append(jnp.asarray(layer["kernel"])[:, middle], jnp.asarray(layer["bias"])[middle])


@lru_cache(maxsize=8)  # of one network one function, which is compiled once
def _slopes(network: Network) -> Callable[[Params, Array], Array]:
    """The slopes of the median of one material with the weights of the last layer that make it, which are its features."""

    def median(column: Array, params: Params, amounts: Array) -> Array:
        name, middle = _last(params)
        layer = {key: jnp.asarray(value) for key, value in params["rho"][name].items()}
        layer |= {
            "kernel": layer["kernel"].at[:, middle].set(column[:-1]),
            "bias": layer["bias"].at[middle].set(column[-1]),
        }
        outputs = network.model.apply({**params, "rho": {**params["rho"], name: layer}}, amounts)
        return jnp.ravel(outputs)[middle]

    return lambda params, amounts: jax.grad(median)(_column(params), params, amounts)


@jax.jit
def _of_largest_evidence(posterior: Laplace, mean: Array) -> Laplace:
    """Prior precision and noise where the slope of the marginal likelihood vanishes, by MacKay's iteration.

        g = sum_k h_k / (h_k + prior noise^2),     prior = g / |w|^2,     noise^2 = 2 loss / (targets - g).

    Source: MacKay 1992, Neural Computation 4, 415.
    """

    def again(_: Any, found: tuple[Array, Array]) -> tuple[Array, Array]:
        prior, variance = found
        known = jnp.sum(posterior.eigenvalues / (posterior.eigenvalues + prior * variance))
        return known / jnp.sum(mean**2), 2 * posterior.loss / (posterior.targets - known)

    one = jnp.ones((), posterior.loss.dtype)
    prior, variance = jax.lax.fori_loop(0, _STEPS, again, (one, one))
    return posterior.at(prior_precision=prior, noise=jnp.sqrt(variance))
