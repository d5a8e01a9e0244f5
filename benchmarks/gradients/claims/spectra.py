"""The largest eigenvalues of a tagger's Hessian, and moments of a spectrum against exact ones."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gradients.claims.tagging import problem
from jaxsci import gradients
from jaxsci.core import Array, Batch, Params
from jaxsci.data import jets
from jaxsci.data.jets.features import features
from jaxsci.losses import binary_cross_entropy, objective
from jaxsci.models import dense, heads
from jaxsci.training import fit

COUNT = 10
STEPS = 26  # of Lanczos
PROBES = 30  # random vectors
SEEDS = 400


def eigenvalues(quick: bool) -> dict[str, Any]:
    """The ten largest eigenvalues of the cnn's Hessian on 10,000 jets: seconds, and their residuals, bounds of the distance."""
    number, epochs = (60, 1) if quick else (10_000, 3)
    net = problem("cnn", number, 10 if quick else 1000, epochs=epochs, pixels=20 if quick else 40)
    loss = objective(net.apply, binary_cross_entropy)
    params = fit(net.recipe, net.train, net.asked, key=jax.random.key(0), settings=net.settings).last_params
    began, wall = time.process_time(), time.perf_counter()
    hessian = gradients.hessian(loss, params, net.train, batch_size=128)
    found, _ = gradients.top_eigenpairs(hessian, COUNT, key=jax.random.key(1), steps=STEPS)
    values, errors = (np.asarray(leaf, np.float64) for leaf in found)
    return {
        "parameters": net.parameters,
        "jets": number,
        "steps": STEPS,
        "eigenvalues": values.tolist(),
        "relative residuals": (errors / np.abs(values)).tolist(),
        "seconds": time.perf_counter() - wall,
        "processor seconds": time.process_time() - began,
        "a product": _seconds_of_products(hessian, params, 1 if quick else 3),
    }


def _seconds_of_products(hessian: gradients.Operator, params: Params, rounds: int) -> float:
    jax.block_until_ready(hessian(params))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(hessian(params))
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def moments(quick: bool) -> dict[str, Any]:
    """How often the moments 1 to 4 of a Hessian's spectrum lie in their own error bands, over the seeds."""
    with jax.enable_x64(True):
        hessian, exact, negative = _small_hessian()
        keys = jax.random.split(jax.random.key(1), 5 if quick else SEEDS)
        estimates = jax.lax.map(
            lambda key: gradients.trace(hessian, key=key, function=_powers, probes=PROBES, steps=30), keys
        )
        inside = np.abs(np.asarray(estimates.value) - exact) < 1.96 * np.asarray(estimates.error)
    return {"parameters": hessian.size, "negative": negative, "seeds": len(keys), "inside": inside.sum(0).tolist()}


def _small_hessian() -> tuple[gradients.Operator, np.ndarray, int]:
    """The Hessian of a small tagger at random weights, the sums of powers of its exact eigenvalues, and how many of these are negative."""
    sample = jets.read(jets.embedded(), limit=200)
    assert sample.constituents is not None
    assert sample.labels is not None
    x = features(sample.constituents, max_constituents=4)[0].reshape(200, -1).astype(float)
    x = (x - x.mean(0)) / x.std(0)
    model = heads.scalar(dense.model(dense.Config(x.shape[1], hidden=(12, 3), activation="tanh")))
    params = jax.tree.map(lambda leaf: leaf.astype(float), model.init(jax.random.key(0)))
    data = Batch(jnp.asarray(x), jnp.asarray(sample.labels, float), jnp.ones(200))
    hessian = gradients.hessian(objective(model.apply, binary_cross_entropy), params, data)
    values = np.linalg.eigvalsh(np.asarray(hessian.dense()))
    negative = np.count_nonzero(values < -1e-12 * np.abs(values).max())  # beyond rounding
    return hessian, np.array([(values**k).sum() for k in (1, 2, 3, 4)]), int(negative)


def _powers(eigenvalue: Array) -> Array:
    return jnp.stack([eigenvalue, eigenvalue**2, eigenvalue**3, eigenvalue**4])


def words(found: dict[str, Any]) -> list[str]:
    """The part of the page, of either."""
    if "inside" in found:
        counts = ", ".join(map(str, found["inside"]))
        return [
            "## Moments of a spectrum lie within their error bands",
            f"A tagger of {found['parameters']} parameters, whose Hessian has {found['negative']} negative eigenvalues; moments 1 to 4 by"
            f" stochastic Lanczos quadrature of {PROBES} random vectors and 30 steps, in float64. Within 1.96 standard errors:"
            f" {counts} of {found['seeds']} seeds, of which {0.95 * found['seeds']:.0f} are expected.",
        ]
    if "relative residuals" in found:
        accuracy = (
            f"Some eigenvalue is as near to each as its residual, at most {max(found['relative residuals']):.1e} of it."
        )
    else:  # results of before, by a rule that counts on no eigenvalue being missed
        accuracy = (
            f"Their errors, estimated as residual^2 / gap, are at most {max(found['relative errors']):.1e} of the eigenvalue;"
            " that is no bound, since an eigenvalue may have been missed."
        )
    return [
        "## Largest eigenvalues of a tagger's Hessian",
        f"The {len(found['eigenvalues'])} largest of {found['parameters']:,}, of the cnn on {found['jets']:,} jets in float32:"
        f" {found['steps']} steps of Lanczos took {found['seconds']:.0f} s ({found['processor seconds']:.0f} processor seconds),"
        f" compilation included; a product then takes {found['a product']:.1f} s. {accuracy} {found.get('remark', '')}".rstrip(),
        ", ".join(f"{value:.4g}" for value in found["eigenvalues"]),
    ]
