"""From a trained ensemble to the function that answers: whatever is adjusted is adjusted on the validation part."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci.core import Array, Params
from jaxsci.tasks.superconductors import blend as processes
from jaxsci.tasks.superconductors import ensemble as predictors
from jaxsci.tasks.superconductors import gaussian_process
from jaxsci.tasks.superconductors.ensemble import Predictor
from jaxsci.tasks.superconductors.networks import Network, Target, to_units
from jaxsci.tasks.superconductors.samples import Sample


def calibrated(
    network: Network,
    params: Params,
    sample: Sample,
    table: np.ndarray,
    *,
    target: Target,
    prior: float | None,
    seed: int,
) -> tuple[Predictor, dict[str, float]]:
    """The function that answers, and the numbers that the validation part gave it.

    Args:
        network: of the members.
        params: [member, ...].
        sample: the materials.
        table: standardized features of the elements [96, feature].
        target: what the network was trained for.
        prior: as for `superconductor_predictor.calibrate`.
        seed: as for `superconductor_process.conditioned`.
    """
    train, validation, _ = sample.parts
    known = predictors.known_pairs(sample.amounts[train])
    outputs = outputs_of(network, params, sample.amounts[validation])
    if target == "class":
        truth, studied = sample.superconducting[validation], sample.studied[validation]
        if network.process is None:
            calibration = predictors.calibrate(outputs.mean(0)[None], truth, studied, prior)
            return predictors.class_predictor(network, params, None, calibration, known), calibration._asdict()
        process, mean, number = _process(
            network.process, sample, np.where(sample.superconducting, 1.0, -1.0), table, seed
        )
        calibration = predictors.calibrate(np.stack([outputs.mean(0), np.asarray(process)]), truth, studied, prior)
        predictor = predictors.class_predictor(network, params, mean, calibration, known)
        return predictor, calibration._asdict() | {"materials_of_process": number}
    measured = jnp.asarray(to_units(sample.tc[validation]), jnp.float32)
    if network.process is None:
        widened = predictors.widening(predictors.spread(jnp.asarray(outputs)), measured)
        return predictors.tc_predictor(network, params, None, widened, known), {"widening": widened}
    beside, numbers = _beside(network.process, sample, outputs, table, seed)
    predictor = predictors.tc_predictor(network, params, beside, numbers["widening"], known)
    return predictor, numbers


def _beside(
    config: gaussian_process.Config, sample: Sample, outputs: np.ndarray, table: np.ndarray, seed: int
) -> tuple[processes.Share, dict[str, float]]:
    """The process with its share, and the widening of the interval.

    Both numbers come from the validation part and a process that does not know it; the one that answers then knows it too, so that the
    interval errs on the wide side.
    """
    target = to_units(sample.tc)
    measured = jnp.asarray(target[sample.parts[1]], jnp.float32)
    process, mean, number = _process(config, sample, target, table, seed)
    ensemble = predictors.spread(jnp.asarray(outputs)).center
    share = processes.best_share(*(np.asarray(values, np.float64) for values in (process, ensemble, measured)))
    widened = predictors.widening(predictors.spread(jnp.asarray(outputs), process, share), measured)
    return processes.Share(mean, share), {"widening": widened, "share": share, "materials_of_process": number}


def _process(
    config: gaussian_process.Config, sample: Sample, target: np.ndarray, table: np.ndarray, seed: int
) -> tuple[Array, processes.Mean, int]:
    """A process of the target [material]: its mean of the validation part, which it does not know; then one that does, and its materials.

    Materials that were studied as superconductors come first where there are too many: crystals of any kind are told apart easily.
    """
    train, validation, _ = sample.parts
    amounts, first = sample.amounts, sample.studied
    mean, _ = processes.conditioned(config, amounts[train], target[train], table, seed, first[train])
    found = jax.jit(mean)(jnp.asarray(amounts[validation]))
    rows = np.concatenate([train, validation])
    return found, *processes.conditioned(config, amounts[rows], target[rows], table, seed, first[rows])


def outputs_of(network: Network, params: Params, amounts: np.ndarray, size: int = 1024) -> np.ndarray:
    """Linear outputs of every member for any number of materials, [member, material, ...]."""
    of_batch = jax.jit(lambda params, amounts: predictors.member_outputs(network, params, amounts))
    parts = []
    for first in range(0, len(amounts), size):
        part = amounts[first : first + size]
        padded = np.pad(part, ((0, size - len(part)), (0, 0)))
        parts.append(np.asarray(of_batch(params, padded))[:, : len(part)])
    return np.concatenate(parts, axis=1)
