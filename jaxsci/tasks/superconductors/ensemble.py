"""What a trained ensemble answers, calibrated, as one function that can be saved as one file and called without the training code.

The file is written by `jax.export` for any number of materials: `load(path)(amounts)`, or without this library

    jax.export.deserialize(open("ensemble.jaxexport", "rb").read()).call(amounts)

with amounts float32 [material, 96] gives a dict of arrays [material].
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from jaxsci.core import Array, Params
from jaxsci.data.materials.elements import ELEMENTS
from jaxsci.errors import InputError
from jaxsci.files import replacing
from jaxsci.fitting._minimizers import newton
from jaxsci.metrics import log_loss
from jaxsci.tasks.superconductors.blend import Mean, Share
from jaxsci.tasks.superconductors.networks import Network, to_kelvin

FILE = "ensemble.jaxexport"
COVERAGE = 0.9  # of the interval of Tc
_NORMAL_95 = 1.645  # quantile of the normal distribution at 95 %
_NARROWEST = 1e-3  # of the sides of an interval, in the network's units: one member alone has no spread
_BATCH = 1024
_PLATFORMS = ("cpu", "cuda", "tpu")

Answers = dict[str, Array]  # each [material]
Predictor = Callable[[Array], Answers]  # of amounts [material, 96]


class Spread(NamedTuple):
    """The distribution of Tc that an ensemble predicts, in the network's units, each [material]."""

    center: Array  # mean over the members of their median, and of the process beside them
    below: Array  # from the center to the ends of the interval: noise and member spread added in quadrature
    above: Array
    noise_below: Array  # from the quantiles alone
    noise_above: Array
    members: Array  # standard deviation of the medians over the members, and of the process


def member_outputs(network: Network, params: Params, amounts: Array) -> Array:
    """Linear outputs of every member, one member after another: [member, material, ...]."""
    return jax.lax.map(lambda p: jax.vmap(network.model.apply, in_axes=(None, 0))(p, amounts), params)


def spread(outputs: Array, process: Array | None = None, share: float = 0.0) -> Spread:
    """Combine the members' outputs [member, material, level], or [member, material] of a network without quantiles.

    Args:
        outputs: of the members.
        process: mean of the process beside them [material]; None: there is none.
        share: weight of the process; the members share the rest. Their spread is the standard deviation under these weights.
    """
    quantiles = outputs if outputs.ndim == 3 else outputs[..., None]
    middle = quantiles.shape[-1] // 2
    mean = jnp.mean(quantiles, axis=0)
    median = mean[:, middle]
    noise_below = jnp.maximum(median - mean[:, 0], 0)
    noise_above = jnp.maximum(mean[:, -1] - median, 0)
    center, members = median, jnp.std(quantiles[..., middle], axis=0)
    if process is not None:
        center = center + share * (process - median)
        members = jnp.hypot((1 - share) ** 0.5 * members, (share * (1 - share)) ** 0.5 * (process - median))
    between = jnp.maximum(_NORMAL_95 * members, _NARROWEST)
    return Spread(
        center, jnp.hypot(noise_below, between), jnp.hypot(noise_above, between), noise_below, noise_above, members
    )


def widening(answer: Spread, target: Array) -> float:
    """The factor on both sides of the interval with which it covers 90 % of these materials (conformalised quantiles).

    The k-th smallest of max((center - y) / below, (y - center) / above), k = ceil(0.9 (n + 1)): Romano, Patterson and Candes 2019,
    arXiv:1905.03222, with errors in units of the interval. For materials drawn like these the coverage is then 90 %, whatever the network.

    Args:
        answer: for the validation part.
        target: [material], in the network's units.
    """
    misses = np.sort(
        np.asarray(jnp.maximum((answer.center - target) / answer.below, (target - answer.center) / answer.above))
    )
    rank = min(len(misses), int(np.ceil(COVERAGE * (len(misses) + 1))))
    return float(misses[rank - 1])


def tc_predictor(
    network: Network, params: Params, beside: Share | None, widened: float, known: np.ndarray
) -> Predictor:
    """Amounts to Tc in K with its interval, and where the interval comes from.

    Args:
        network: of quantiles or of Tc alone.
        params: [member, ...].
        beside: the process beside the ensemble; None: there is none.
        widened: as from `widening`.
        known: as from `known_pairs`.
    """

    def predict(amounts: Array) -> Answers:
        outputs = member_outputs(network, params, amounts)
        mean = jnp.mean(to_kelvin(outputs), axis=0)
        mean = jnp.mean(mean, axis=-1) if mean.ndim == 2 else mean
        if beside is None:
            answer = spread(outputs)
        else:
            process = beside.mean(amounts)
            answer = spread(outputs, process, beside.share)
            mean = mean + beside.share * (to_kelvin(process) - mean)
        return {
            "tc": to_kelvin(answer.center),
            "tc_lower": to_kelvin(answer.center - widened * answer.below),
            "tc_upper": to_kelvin(answer.center + widened * answer.above),
            "tc_mean": mean,
            "noise": (to_kelvin(answer.center + answer.noise_above) - to_kelvin(answer.center - answer.noise_below))
            / 2,
            "member_spread": to_kelvin(answer.members),
            "outside": _outside(amounts, known),
        }

    return predict


class Calibration(NamedTuple):
    """From the mean log odds z of the members and the process p to a probability, and the threshold that answers yes.

    Log odds are slope * z + of_process * p + offset.
    """

    slope: float
    of_process: float  # 0 where no process is beside the ensemble
    offset: float
    threshold: float


def calibrate(scores: np.ndarray, superconducting: np.ndarray, studied: np.ndarray, prior: float | None) -> Calibration:
    """The log odds of the smallest log loss (Platt 1999), and the threshold of the largest expected F1, both on these materials.

    The threshold is chosen among those that were studied as superconductors, where some are none: who asks has such materials in mind, and
    against crystals of any kind a lower threshold would do. Both are weighted to the same share of superconductors.

    Args:
        scores: on the validation part, [score, material]: the mean log odds of the members, and the process if there is one.
        superconducting: bool [material].
        studied: bool [material].
        prior: share of superconductors among the materials that will be asked for; None: their share among all here.

    Raises:
        InputError: only superconductors, or none.
    """
    if superconducting.all() or not superconducting.any():
        raise InputError("expected superconductors and others in the validation part, got one kind; use --split random")
    wanted = float(superconducting.mean()) if prior is None else prior
    z, y, w = (jnp.asarray(a, jnp.float32) for a in (scores, superconducting, weights(superconducting, wanted)))
    found = np.asarray(_line(z, y, w), np.float64)
    logit = found[:-1] @ scores.astype(np.float64) + found[-1]
    rows = studied if (studied & ~superconducting).any() else np.ones(len(studied), bool)
    chosen = superconducting[rows]
    threshold = best_threshold(logit[rows], chosen, weights(chosen, wanted))
    return Calibration(float(found[0]), float(found[1]) if len(scores) > 1 else 0.0, float(found[-1]), threshold)


def weights(superconducting: np.ndarray, share: float) -> np.ndarray:
    """Weights under which this share superconducts, [material]; their sum is the number of materials."""
    now = float(superconducting.mean())
    return np.where(superconducting, share / now, (1 - share) / (1 - now))


@jax.jit
def _line(scores: Array, superconducting: Array, weight: Array) -> Array:
    """Slope of each score, and the offset, of the smallest log loss."""
    start = jnp.zeros(len(scores) + 1).at[0].set(1)
    return newton(lambda line: log_loss(line[:-1] @ scores + line[-1], superconducting, weight), start)


def best_threshold(logit: np.ndarray, superconducting: np.ndarray, weight: np.ndarray) -> float:
    """The threshold on the probability with the largest expected F1 = 2 sum_yes w p / (sum_yes w + sum w p).

    p is the probability calibrated on these materials. The threshold is where p is half the largest F1 (Lipton, Elkan and Naryanaswamy
    2014, arXiv:1402.1892). The F1 that is counted has a flat and ragged maximum, which wanders from one set of materials to another.

    Args:
        logit: log odds of the probability [material].
        superconducting: bool [material].
        weight: of the materials.
    """
    line = _line(*(jnp.asarray(a, jnp.float32) for a in (logit[None], superconducting, weight)))
    slope, offset = np.asarray(line, np.float64)
    if slope <= 0:  # such log odds tell nothing, and yes to everything has the largest F1
        return 0.0
    p = np.exp(-np.logaddexp(0, -(slope * logit.astype(np.float64) + offset)))
    order = np.argsort(-p)
    found, said = np.cumsum((weight * p)[order]), np.cumsum(weight[order])
    half = np.max(found / (said + found[-1]))
    return float(np.exp(-np.logaddexp(0, -(np.log(half / (1 - half)) - offset) / slope)))


def class_predictor(
    network: Network, params: Params, beside: Mean | None, calibration: Calibration, known: np.ndarray
) -> Predictor:
    """Amounts to the calibrated probability of a superconductor, its spread over the members, their votes, and the answer.

    Args:
        network: of log odds.
        params: [member, ...].
        beside: the process beside the ensemble; None: there is none.
        calibration: as from `calibrate`.
        known: as from `known_pairs`.
    """

    def predict(amounts: Array) -> Answers:
        logits = calibration.slope * member_outputs(network, params, amounts) + calibration.offset
        if beside is not None:
            logits = logits + calibration.of_process * beside(amounts)[None]
        logit = jnp.mean(logits, axis=0)
        probability = jax.nn.sigmoid(logit)
        return {
            "probability": probability,
            "probability_spread": jnp.std(jax.nn.sigmoid(logits), axis=0),
            "votes": jnp.mean((jax.nn.sigmoid(logits) > calibration.threshold).astype(logit.dtype), axis=0),
            "logit": logit,
            "superconducts": probability > calibration.threshold,
            "outside": _outside(amounts, known),
        }

    return predict


def known_pairs(amounts: np.ndarray) -> np.ndarray:
    """Which elements occur together in these materials, bool [96, 96]; the diagonal: which occur at all."""
    present = (amounts > 0).astype(np.float32)
    return np.asarray(present.T @ present > 0)


def save(predictor: Predictor, path: Path) -> None:
    """Write the function for any number of materials, whole or not at all."""
    materials = export.symbolic_shape("materials")[0]
    shape = jax.ShapeDtypeStruct((materials, ELEMENTS), jnp.float32)
    content = export.export(jax.jit(predictor), platforms=_PLATFORMS)(shape).serialize()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def load(path: Path) -> Predictor:
    """The function of a file that `save` wrote.

    Raises:
        InputError: no such file, or another one.
    """
    if not path.exists():
        raise InputError(
            f"{path}: expected the ensemble of a finished run, found none; train with jaxsci train superconductors"
        )
    try:
        exported = export.deserialize(bytearray(path.read_bytes()))
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(
            f"{path}: expected a file of jax.export, but it cannot be read; train the run again"
        ) from error
    return jax.jit(exported.call)


def answer(predictor: Predictor, amounts: np.ndarray) -> dict[str, np.ndarray]:
    """The answers for any number of materials, in batches of one shape."""
    batch = min(_BATCH, len(amounts))
    parts = []
    for first in range(0, len(amounts), batch):
        part = amounts[first : first + batch]
        padded = np.pad(part, ((0, batch - len(part)), (0, 0)))
        parts.append({name: np.asarray(values)[: len(part)] for name, values in predictor(jnp.asarray(padded)).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _outside(amounts: Array, known: np.ndarray) -> Array:
    """Whether a composition has an element, or two together, that no material of the training part has: bool [material]."""
    present = (amounts > 0).astype(amounts.dtype)
    return jnp.sum((present @ jnp.asarray(~known, amounts.dtype)) * present, axis=1) > 0
