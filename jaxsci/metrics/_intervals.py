"""Confidence intervals: binomial, of a background rejection, of an AUC, and the bootstrap for everything else.

All are for the statistical error of the examples evaluated, with the model held fixed; the spread between trainings is
another thing and is found by training again. `level` is the probability content: 0.68 for one standard deviation of a
normal.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci._shapes import expect_shapes
from jaxsci.core import Array, Key
from jaxsci.metrics._ranking import auc, placements, working_point
from jaxsci.metrics._sums import weights_like

# P(count <= k), k = 0 to 11, of a Poisson variable of mean 1; a float32 uniform does not resolve the rest, 1e-9.
_POISSON_CDF = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 12)]))


class Interval(NamedTuple):
    """Both ends of a confidence interval."""

    lower: Any  # an array, or a tree of arrays for the bootstrap of a metric that returns a tree
    upper: Any


def binomial_interval(successes: ArrayLike, trials: ArrayLike, *, level: ArrayLike = 0.68) -> Interval:
    """Wilson's score interval for a probability, of which `successes` in `trials` were seen.

    The ends are the probabilities p with |k - n p| = z sqrt(n p (1 - p)), z the normal quantile of the level:

        (k + z^2/2 +- z sqrt(k (n - k) / n + z^2/4)) / (n + z^2).

    It stays inside [0, 1], has a width at k = 0 and k = n, and covers close to `level` on average, which Brown, Cai and
    DasGupta (2001, Statistical Science 16, 101) recommend; Clopper and Pearson's never covers less than `level` but is
    for that wider than it says. Source: Wilson 1927, J. Am. Statist. Assoc. 22, 209.

    >>> [round(float(end), 3) for end in binomial_interval(90, 100)]
    [0.866, 0.926]

    Args:
        successes: k, any shape; need not be an integer (effective counts).
        trials: n >= k, in the shape of k.
        level: probability content, a scalar.

    Returns:
        The ends, floating; [0, 1] for no trials, which tell nothing; NaN for k < 0 or k > n.
    """
    k, n = as_real(jnp.asarray(successes)), as_real(jnp.asarray(trials))
    expect_shapes("successes [*shape], trials [*shape]", k, n)
    z2 = jnp.square(_normal_quantile(level, k.dtype))
    spread = jnp.sqrt(z2 * (k * (1 - k / jnp.where(n == 0, 1, n)) + z2 / 4))
    high = k + z2 / 2 + spread
    # The product of both ends is k^2 / (n (n + z^2)). The difference k + z^2/2 - spread would cancel at small k.
    lower = jnp.where(k == 0, 0, k / jnp.where(n == 0, 1, n) * k / high)
    upper = jnp.where(k == n, 1, high / (n + z2))
    valid = (k >= 0) & (k <= n)
    return Interval(jnp.where(valid, lower, jnp.nan), jnp.where(valid, upper, jnp.nan))


def rejection_interval(
    scores: Array,
    labels: Array,
    weight: Array | None = None,
    *,
    signal_efficiency: ArrayLike,
    level: ArrayLike = 0.68,
) -> Interval:
    """Interval for the background rejection 1 / eps_B at a signal efficiency; goes with `background_rejection`.

    Two samples make the error: the background counted above the cut, and the signal that placed the cut. With N_B and
    N_S examples,

        variance(eps_B) = eps_B (1 - eps_B) / N_B + (d eps_B / d eps_S)^2 eps_S (1 - eps_S) / N_S

    (Hsieh and Turnbull 1996, Annals of Statistics 24, 25). The second term is taken from the ROC itself: half the
    change of eps_B between the cuts at eps_S +- sqrt(eps_S (1 - eps_S) / N_S). The interval is Wilson's for eps_B with
    N_B reduced by the ratio of the first term to the sum, inverted; in that ratio the first term has (k + 1/2) / (N_B +
    1) for eps_B, so that it is defined at k = 0. Real weights enter by the effective number (sum w)^2 / sum w^2 of each
    class.

    Args:
        scores: see `jaxsci.metrics`, as `labels` and `weight`.
        labels: as above.
        weight: as above.
        signal_efficiency: eps_S in (0, 1], a scalar or an array.
        level: probability content, a scalar.

    Returns:
        The ends in the shape of `signal_efficiency`. The upper is infinity when no background passes. NaN where
        `background_rejection` is undefined.
    """
    scores, labels = as_real(scores), jnp.asarray(labels)
    expect_shapes("scores [example], labels [example]", scores, labels)
    weights = weights_like(scores, weight)
    signals = _effective_number(weights, labels, 1)
    backgrounds = _effective_number(weights, labels, 0)
    asked = jnp.asarray(signal_efficiency, weights.dtype)
    step = jnp.sqrt(asked * (1 - asked) / signals)
    tiny = jnp.finfo(weights.dtype).eps
    efficiencies = jnp.stack([asked, jnp.clip(asked - step, tiny, 1), jnp.clip(asked + step, tiny, 1)])
    at, below, above = working_point(scores, labels, weight, signal_efficiency=efficiencies).background_efficiency
    smoothed = (at * backgrounds + 0.5) / (backgrounds + 1)
    own_variance = smoothed * (1 - smoothed) / backgrounds
    cut_variance = jnp.square((above - below) / 2)
    trials = backgrounds * own_variance / (own_variance + cut_variance)
    efficiency = binomial_interval(at * trials, trials, level=level)
    undefined = jnp.isnan(at) | (asked > 1)
    return Interval(*(jnp.where(undefined, jnp.nan, 1 / end) for end in (efficiency.upper, efficiency.lower)))


def auc_covariance(scores: Array, labels: Array, weight: Array | None = None) -> Array:
    """DeLong's covariance of the AUCs of several scores of the same examples.

    For scores a and b, C_ab = c_S(a, b) / N_S + c_B(a, b) / N_B with c the sample covariances (divisor N - 1) of the
    placements of each class. The variance of a difference is C_aa + C_bb - 2 C_ab. Source: DeLong, DeLong and
    Clarke-Pearson 1988, Biometrics 44, 837.

    Args:
        scores: [score, example], floating.
        labels: [example], 1 signal, 0 background.
        weight: [example]; none, a boolean mask or real weights, which enter by the effective number (sum w)^2 / sum w^2
            of each class.

    Returns:
        [score, score]; NaN if a class has fewer than two examples.
    """
    expect_shapes("scores [score, example], labels [example]", scores, labels)
    scores, labels = as_real(scores), jnp.asarray(labels)
    return _covariance(jax.vmap(placements, in_axes=(0, None, None))(scores, labels, weight), labels, weight)


def _covariance(placed: Array, labels: Array, weight: Array | None) -> Array:
    """`auc_covariance` of scores with these placements [score, example]."""
    weights = weights_like(placed[0], weight)

    def of_class(label: int) -> Array:
        w = jnp.where(labels.astype(weights.dtype) == label, weights, 0)
        number = _effective_number(weights, labels, label)
        fractions = (w / jnp.sum(w))[None, :]
        values = jnp.where(fractions != 0, placed, 0)
        deviations = fractions * (values - jnp.sum(fractions * values, axis=1, keepdims=True))
        products = jnp.matmul(deviations, deviations.T, precision="highest")  # no TF32
        return jnp.where(number > 1, products * number / (number - 1), jnp.nan)

    return of_class(1) + of_class(0)


def auc_interval(scores: Array, labels: Array, weight: Array | None = None, *, level: ArrayLike = 0.68) -> Interval:
    """Interval for the AUC A from DeLong's variance V, symmetric in logit(A): logit(A) +- z sqrt(V) / (A (1 - A)).

    On that scale it stays inside (0, 1). NaN where all examples of each class have the same placement, as when the
    scores separate perfectly or are all tied: V is then 0 and tells nothing. NaN where `auc` or `auc_covariance` is
    undefined. Arguments as in `auc`.
    """
    scores, labels = as_real(scores), jnp.asarray(labels)
    area = auc(scores, labels, weight)
    placed = placements(scores, labels, weight)
    error = jnp.sqrt(_covariance(placed[None, :], labels, weight)[0, 0])

    def varies(label: int) -> Array:
        members = (weights_like(placed, weight) != 0) & (labels.astype(placed.dtype) == label)
        return jnp.min(placed, where=members, initial=jnp.inf) < jnp.max(placed, where=members, initial=-jnp.inf)

    step = _normal_quantile(level, area.dtype) * error / (area * (1 - area))
    center = jnp.log(area) - jnp.log1p(-area)
    ends = (jax.nn.sigmoid(center - step), jax.nn.sigmoid(center + step))
    return Interval(*(jnp.where(varies(0) | varies(1), end, jnp.nan) for end in ends))


def resample(metric: Callable[..., Any], key: Key, *arrays: Array, resamples: int = 200, batch_size: int = 8) -> Any:
    """Values of a metric under the Poisson bootstrap, where each example counts a Poisson number of times with mean 1.

    The weights, not the examples, are drawn anew for each value, so shapes stay fixed and a sort of the scores is
    shared by a whole batch of resamples. Source: Chamandy et al. 2012, "Estimating uncertainty for massive data
    streams"; for many examples the same as drawing with replacement.

    Args:
        metric: (*arrays, weight) -> array or tree of arrays, `weight` being float32 counts [example]. Every metric of
            this package with its keywords bound has this form. Compose for the rest: a difference of two scores on the
            same examples is `lambda a, b, labels, weight: auc(a, labels, weight) - auc(b, labels, weight)`; examples
            with weights of their own are `lambda scores, labels, own, weight: auc(scores, labels, own * weight)`.
        key: from `jax.random.key`.
        *arrays: each [example, ...].
        resamples: their number, static.
        batch_size: resamples evaluated at once, static: the bound on memory.

    Returns:
        As the metric, each leaf with a leading axis [resample]. `jnp.std(..., axis=0)` of it is the standard error.
    """
    expect_shapes(", ".join(f"arrays[{i}] [example, ...]" for i in range(len(arrays))), *arrays)

    def once(key: Key) -> Any:
        uniform = jax.random.uniform(key, (arrays[0].shape[0], 1), jnp.float32)
        weight = jnp.sum(uniform > jnp.asarray(_POISSON_CDF, jnp.float32)[None, :], axis=1).astype(jnp.float32)
        return metric(*arrays, weight)

    return jax.lax.map(once, jax.random.split(key, resamples), batch_size=batch_size)


def bootstrap(
    metric: Callable[..., Any],
    key: Key,
    *arrays: Array,
    resamples: int = 200,
    level: float = 0.68,
    batch_size: int = 8,
) -> Interval:
    """Percentile interval of any metric from `resample`, whose arguments it shares.

    The ends are order statistics of the resampled values, rounded outwards and not interpolated, so that they are right
    for infinite values too. A metric that is NaN in one resample (a class that was never drawn) gives NaN. 200
    resamples do for 0.68, 2000 for 0.95 or 0.99. Source: Efron and Tibshirani, "An Introduction to the Bootstrap",
    1993, chapter 13.

    Returns:
        The ends, each as the metric returns its value.
    """
    values = resample(metric, key, *arrays, resamples=resamples, batch_size=batch_size)
    tail = (1 - level) / 2

    def quantile(q: float, method: str) -> Any:
        return jax.tree.map(lambda leaf: jnp.quantile(leaf, jnp.asarray(q, leaf.dtype), axis=0, method=method), values)

    return Interval(quantile(tail, "lower"), quantile(1 - tail, "higher"))


def _normal_quantile(level: ArrayLike, dtype: Any) -> Array:
    return jax.scipy.special.ndtri((1 + jnp.asarray(level, dtype)) / 2)


def _effective_number(weight: Array, labels: Array, label: int) -> Array:
    of_class = jnp.where(labels.astype(weight.dtype) == label, weight, 0)
    return jnp.square(jnp.sum(of_class)) / jnp.sum(jnp.square(of_class))
