"""How well a score separates signal from background: exact ROC, AUC, average precision, background rejection.

Every quantity here is a function of one thing: the weight of the signal, and of the background, that passes a cut
"score >= t". Cuts are taken at the scores themselves, so nothing is binned or interpolated, and tied scores pass or
fail together.

Scores, labels and weights are those of `jaxsci.metrics`, which says what becomes of NaN.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci._shapes import expect_dtype, expect_shapes
from jaxsci.core import Array
from jaxsci.metrics._sums import weighted_mean


class RocCurve(NamedTuple):
    """Points of the ROC from (0, 0) to (1, 1), each [example + 1]; ties and padding repeat points."""

    false_positive_rate: Array  # background efficiency eps_B
    true_positive_rate: Array  # signal efficiency eps_S
    thresholds: Array  # the cut score >= t of each point; descending from infinity


class WorkingPoint(NamedTuple):
    """A cut "score >= threshold" and what it lets pass."""

    threshold: Array
    signal_efficiency: Array  # eps_S reached, not less than asked
    background_efficiency: Array  # eps_B


def roc_curve(scores: Array, labels: Array, weight: Array | None = None) -> RocCurve:
    """The exact ROC curve, with as many points as examples plus one whatever the ties, as `jit` and `vmap` need.

    Point 0 is (0, 0) at threshold infinity; point i is the cut at the i-th largest score. All points of a group of tied
    scores are the point where the whole group passes, and padding repeats the point before it. The distinct points
    are those of scikit-learn's `roc_curve` with `drop_intermediate=False`. Arguments: see `jaxsci.metrics`.

    Returns:
        The curve. With one class only the rate of the absent class is NaN, as in scikit-learn.
    """
    ranked = _rank(scores, labels, weight)
    cuts, weights = _ordered(ranked.keys, ranked.weight)

    def rate(members: Array) -> Array:
        passing, total = _passing(ranked.keys, members)
        fractions = _fraction(passing(cuts, "right"), total, ranked.dtype)
        return ranked.checked(jnp.concatenate([0 / total.astype(ranked.dtype)[None], fractions]))

    infinity = jnp.full(1, jnp.inf, ranked.dtype)
    # A cut at padding lets pass what the cut before it does, so it takes that one's threshold.
    lowest = jax.lax.cummax(jnp.where(weights.astype(bool), cuts, _descending_keys(infinity)))
    thresholds = jnp.concatenate([infinity, _scores_of(lowest, ranked.dtype)])
    return RocCurve(rate(ranked.background), rate(ranked.signal), ranked.checked(thresholds))


def auc(scores: Array, labels: Array, weight: Array | None = None) -> Array:
    """Area under the ROC: the probability that a signal example scores above a background example, ties counted half.

    The Mann-Whitney rank sum, mean over the background of (S(> s_j) + S(>= s_j)) / 2 with S the fraction of the signal
    above. Numerators are integers for unweighted scores, so the result is exact to float rounding at any number of
    examples.

    >>> float(auc(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1])))
    0.875

    Returns:
        Scalar; NaN if a class is absent, as in scikit-learn. Arguments: see `jaxsci.metrics`.
    """
    ranked = _rank(scores, labels, weight)
    mean = weighted_mean(_fraction_above(ranked, ranked.signal), ranked.background)
    return ranked.checked(jnp.clip(mean, 0, 1))  # the rounding of real weights may pass 1


def placements(scores: Array, labels: Array, weight: Array | None = None) -> Array:
    """For each example the part of the other class that it is ranked rightly against, ties counted half: [example].

    A signal example gets the fraction of the background below it, a background example the fraction of the signal
    above. The mean over either class is the AUC; the variances are DeLong's (DeLong et al. 1988, Biometrics 44, 837).
    NaN if the other class is absent, meaningless at weight 0. Arguments: see `jaxsci.metrics`.
    """
    ranked = _rank(scores, labels, weight)
    background_below = 1 - _fraction_above(ranked, ranked.background)
    return ranked.checked(
        jnp.where(ranked.signal.astype(bool), background_below, _fraction_above(ranked, ranked.signal))
    )


def average_precision(scores: Array, labels: Array, weight: Array | None = None) -> Array:
    """Area under the precision-recall steps, sum_n (R_n - R_(n-1)) P_n: scikit-learn's `average_precision_score`.

    Computed as the mean over the signal of the precision of the cut at each example's own score, which is the same sum.

    Returns:
        Scalar; NaN without signal (scikit-learn: 0); 1 without background. Arguments: see `jaxsci.metrics`.
    """
    ranked = _rank(scores, labels, weight)
    right, wrong = (
        _passing(ranked.keys, members)[0](ranked.keys, "right").astype(ranked.dtype)
        for members in (ranked.signal, ranked.background)
    )
    return ranked.checked(weighted_mean(right / (right + wrong), ranked.signal))


def working_point(
    scores: Array, labels: Array, weight: Array | None = None, *, signal_efficiency: ArrayLike
) -> WorkingPoint:
    """The tightest cut "score >= t", with t one of the scores, that keeps at least the asked fraction of the signal.

    No interpolation: it is a cut that can be made on these examples. Between two points of the ROC, and at ties, the
    looser cut is taken, so the background efficiency is never underrated by the choice. The asked efficiency counts as
    reached within 2 units of float rounding, so that 0.3 of 1000 signal examples is 300 and not 301.

    Args:
        scores: see `jaxsci.metrics`, as `labels` and `weight`.
        labels: as above.
        weight: as above.
        signal_efficiency: eps_S in (0, 1], a scalar or an array of any shape.

    Returns:
        The cut, each field in the shape of `signal_efficiency`; NaN for an efficiency outside (0, 1], and if a class is
        absent.
    """
    curve = roc_curve(scores, labels, weight)
    asked = jnp.asarray(signal_efficiency, curve.thresholds.dtype)
    reached = curve.true_positive_rate
    point = jnp.searchsorted(reached, asked * (1 - 2 * jnp.finfo(reached.dtype).eps))
    one_class = jnp.isnan(reached[-1]) | jnp.isnan(curve.false_positive_rate[-1])
    defined = (asked > 0) & (asked <= 1) & ~one_class

    def take(values: Array) -> Array:
        return jnp.where(defined, values.at[point].get(mode="clip"), jnp.nan)

    return WorkingPoint(take(curve.thresholds), take(reached), take(curve.false_positive_rate))


def background_rejection(
    scores: Array, labels: Array, weight: Array | None = None, *, signal_efficiency: ArrayLike
) -> Array:
    """1 / eps_B at the cut of `working_point`, whose arguments and edge cases it shares.

    Infinity if no background passes: then quote the lower end of `rejection_interval`.
    """
    return 1 / working_point(scores, labels, weight, signal_efficiency=signal_efficiency).background_efficiency


class _Ranked(NamedTuple):
    keys: Array  # [example] integers, ascending where scores descend
    weight: Array  # [example]; boolean for counts
    signal: Array  # [example] the weight if the example is signal, else 0
    background: Array  # [example] the same for background
    valid: Array  # scalar
    dtype: jnp.dtype  # of the results

    def checked(self, result: Array) -> Array:
        return jnp.where(self.valid, result, jnp.nan)


def _rank(scores: Array, labels: Array, weight: Array | None) -> _Ranked:
    expect_shapes("scores [example], labels [example]", scores, labels)
    expect_dtype("scores", scores, "floating")
    scores, labels = as_real(scores), jnp.asarray(labels)
    weight = jnp.ones(scores.shape, bool) if weight is None else jnp.asarray(weight)
    expect_shapes("scores [example], weight [example]", scores, weight)
    is_signal = labels.astype(scores.dtype) == 1
    is_background = labels.astype(scores.dtype) == 0
    usable = (is_signal | is_background) & ~jnp.isnan(scores)
    if weight.dtype == bool:
        nothing = jnp.zeros((), bool)
    else:
        weight = weight.astype(scores.dtype)
        usable &= weight >= 0
        nothing = jnp.zeros((), scores.dtype)
    return _Ranked(
        keys=_descending_keys(scores),
        weight=weight,
        signal=jnp.where(is_signal, weight, nothing),
        background=jnp.where(is_background, weight, nothing),
        valid=jnp.all(usable | ~weight.astype(bool)),
        dtype=scores.dtype,
    )


def _descending_keys(scores: Array) -> Array:
    """Integers that ascend where the scores descend, and are equal where the scores are equal.

    The bits of a float, read as a sign and a magnitude, are in its order. XLA sorts integers several times faster than
    floats on a CPU, and integers keep subnormal numbers apart, which float comparisons may flush to 0.
    """
    integer = jnp.dtype(f"int{8 * scores.dtype.itemsize}")
    limits = jnp.iinfo(integer)
    bits = jax.lax.bitcast_convert_type(scores, integer)
    bits = jnp.where(bits == limits.min, jnp.zeros_like(bits), bits)  # -0 is 0
    return ~(bits ^ ((bits >> (limits.bits - 1)) & limits.max))


def _scores_of(keys: Array, dtype: jnp.dtype) -> Array:
    """The inverse of `_descending_keys`."""
    limits = jnp.iinfo(keys.dtype)
    return jax.lax.bitcast_convert_type(~keys ^ ((~keys >> (limits.bits - 1)) & limits.max), dtype)


def _ordered(keys: Array, weight: Array) -> tuple[Array, Array]:
    """Keys in ascending order with their weights; of counted examples (boolean weight) the absent are moved to the end.

    Sorting bare integers is several times faster than sorting them with their weights. Real weights are sorted by an
    order that does not depend on them: under vmap over resampled weights it is found once.
    """
    if weight.dtype == bool:
        never = jnp.asarray(jnp.iinfo(keys.dtype).max, keys.dtype)  # below every score
        keys = jnp.sort(jnp.where(weight, keys, never))
        return keys, keys != never
    order = jnp.argsort(keys)
    return keys[order], weight[order]


def _passing(keys: Array, weight: Array) -> tuple[Callable[[Array, Literal["left", "right"]], Array], Array]:
    """The function (cuts, side) -> weight of the examples that pass each cut, and the weight of all.

    "left" lets pass score > t, "right" score >= t.
    """
    ordered, weight = _ordered(keys, weight)
    if weight.dtype == bool:
        total = jnp.sum(weight, dtype=jnp.int32)
        return lambda cuts, side: jnp.minimum(jnp.searchsorted(ordered, cuts, side=side), total), total
    cumulative = jnp.concatenate([jnp.zeros(1, weight.dtype), jnp.cumsum(weight)])
    return lambda cuts, side: cumulative[jnp.searchsorted(ordered, cuts, side=side)], cumulative[-1]


def _fraction_above(ranked: _Ranked, members: Array) -> Array:
    """The part of the members above the score of each example, ties counted half."""
    passing, total = _passing(ranked.keys, members)
    # Counts are added as integers: 2 n + 1 is exact, n + 1/2 would lose the half beyond 2^23.
    twice = passing(ranked.keys, "left") + passing(ranked.keys, "right")
    return _fraction(twice, 2 * total, ranked.dtype)


def _fraction(part: Array, whole: Array, dtype: jnp.dtype) -> Array:
    # XLA divides by a scalar by multiplying with its reciprocal, and 41 * (1 / 41) is not 1 in float32.
    quotient = part.astype(dtype) / whole.astype(dtype)
    return jnp.where((part == whole) & (whole > 0), 1, quotient)
