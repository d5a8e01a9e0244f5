"""Whether probabilities mean what they say: log loss, Brier score, calibration curve and its error."""

from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsci._numerics import as_real
from jaxsci._shapes import expect_dtype, expect_shapes
from jaxsci.core import Array
from jaxsci.metrics._sums import bin_sums, weighted_mean, weights_like

Binning: TypeAlias = Literal["equal_width", "equal_mass"]


class CalibrationCurve(NamedTuple):
    """What was said and what happened in each bin of probability: [bin]. An empty bin has weight 0 and NaN means."""

    predicted: Array  # mean probability given
    observed: Array  # mean outcome
    weight: Array  # weight of the examples


def log_loss(logits: Array, labels: Array, weight: Array | None = None) -> Array:
    """Mean negative log-likelihood of the labels, in nats, from logits.

    Logits, not probabilities: the log of a probability rounded to 0 or 1 is infinite or wrong, and clipping hides how
    wrong.

    Args:
        logits: [example], of "yes"; or [example, class].
        labels: [example], 0 or 1 (any dtype); or integers 0 to K - 1.
        weight: [example]; none: all 1; boolean: a mask. An example of weight 0 does not count, NaN included.

    Returns:
        Scalar in the dtype of the logits, at least float32; NaN without examples, for a label outside its range, and for NaN logits.
    """
    expect_shapes("logits [example, class?], labels [example]", logits, labels)
    logits, labels = as_real(logits), jnp.asarray(labels)
    if logits.ndim == 1:
        labels = labels.astype(logits.dtype)
        loss = jax.nn.softplus(jnp.where(labels == 1, -logits, logits))
        valid = (labels == 0) | (labels == 1)
    else:
        loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
        valid = (labels >= 0) & (labels < logits.shape[1])
    return weighted_mean(jnp.where(valid, loss, jnp.nan), weight)


def brier_score(probability: Array, outcome: Array, weight: Array | None = None) -> Array:
    """Mean squared difference of probability and outcome (0 or 1): scikit-learn's `brier_score_loss` of two classes.

    Args:
        probability: [example], floating, in [0, 1].
        outcome: [example], 0 or 1 (any dtype).
        weight: [example]; none: all 1; boolean: a mask.

    Returns:
        Scalar; NaN without examples, or if an example that counts has a probability outside [0, 1] or another outcome.
    """
    probability, outcome = _checked(probability, outcome)
    return weighted_mean(jnp.square(probability - outcome), weight)


def calibration_curve(
    probability: Array, outcome: Array, weight: Array | None = None, *, bins: int = 15, binning: Binning = "equal_width"
) -> CalibrationCurve:
    """Mean probability and mean outcome in bins of the probability.

    Args:
        probability: [example], floating, in [0, 1]: of "yes"; or, of many classes, of the class answered.
        outcome: [example], 0 or 1 (any dtype): whether it was "yes"; or whether the answer was right.
        weight: [example]; none: all 1; boolean: a mask.
        bins: their number, static.
        binning: "equal_width": bins ((k - 1)/m, k/m], the first with 0. "equal_mass": bin k holds the examples whose
            cumulative weight fraction F(p), the part of all examples with probability <= p, is in ((k - 1)/m, k/m];
            equal probabilities share a bin.

    Returns:
        The curve; every field is NaN if an example that counts has a probability outside [0, 1] or another outcome.
    """
    probability, outcome = _checked(probability, outcome)
    weight = weights_like(probability, weight)
    edges = jnp.asarray(np.arange(1, bins) / bins, probability.dtype)
    position = probability
    if binning == "equal_mass":
        # Products of counts are exact where a quotient is rounded, and may move an example that stands on an edge.
        edges = jnp.arange(1, bins, dtype=weight.dtype) * jnp.sum(weight)
        position = _mass_up_to(probability, weight) * bins
    index = jnp.searchsorted(edges, position, side="left")
    mask = weight != 0

    def total(values: Array) -> Array:
        return bin_sums(jnp.where(mask, values, jnp.zeros_like(values)), index, bins)

    mass = total(weight)
    curve = CalibrationCurve(total(weight * probability) / mass, total(weight * outcome) / mass, mass)
    invalid = jnp.any(mask & jnp.isnan(probability + outcome))
    return CalibrationCurve(*(jnp.where(invalid, jnp.nan, field) for field in curve))


def expected_calibration_error(
    probability: Array, outcome: Array, weight: Array | None = None, *, bins: int = 15, binning: Binning = "equal_width"
) -> Array:
    """Mean over the examples of |mean probability - mean outcome| in their bin; arguments as in `calibration_curve`.

    Biased upwards by sampling noise, the more the finer the bins. Source: Guo et al. 2017, arXiv:1706.04599 (equal
    width, the probability of the class answered, 15 bins).

    Returns:
        Scalar in [0, 1]; NaN without examples.
    """
    curve = calibration_curve(probability, outcome, weight, bins=bins, binning=binning)
    gap = jnp.abs(curve.predicted - curve.observed)
    return weighted_mean(jnp.where(curve.weight == 0, 0, gap), curve.weight)


def _checked(probability: Array, outcome: Array) -> tuple[Array, Array]:
    """Both as floats; NaN where they are no probability or no outcome."""
    expect_shapes("probability [example], outcome [example]", probability, outcome)
    expect_dtype("probability", probability, "floating")
    probability, outcome = as_real(probability), jnp.asarray(outcome)
    outcome = outcome.astype(probability.dtype)
    probability = jnp.where((probability >= 0) & (probability <= 1), probability, jnp.nan)
    return probability, jnp.where((outcome == 0) | (outcome == 1), outcome, jnp.nan)


def _mass_up_to(probability: Array, weight: Array) -> Array:
    """The weight at probabilities <= p_i: [example]."""
    order = jnp.argsort(probability)
    cumulative = jnp.concatenate([jnp.zeros(1, weight.dtype), jnp.cumsum(weight[order])])
    return cumulative[jnp.searchsorted(probability[order], probability, side="right")]
