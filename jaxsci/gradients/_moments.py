"""Mean and scatter of the gradients of single examples, and what batch size they ask for."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci.core import Array, Batch, LossFn, Params
from jaxsci.errors import InputError
from jaxsci.gradients._batches import MEMORY, added_up, block_size, mapped, microbatch_size
from jaxsci.gradients._capture import Capture, Records, capture, product_of, weighted_sum
from jaxsci.gradients._examples import check
from jaxsci.gradients._norms import norms_and_products


class Moments(NamedTuple):
    """Of the gradients of single examples, number by number; trees like the parameters."""

    mean: Params  # the gradient of the batch
    variance: Params  # of the gradient of one example, unbiased
    signal_to_noise: Params  # |mean| / standard deviation of one example; 0 where both are 0


class NoiseScale(NamedTuple):
    """How the gradients of single examples scatter, of the whole or of one parameter leaf."""

    scatter: Array  # tr(Sigma), the summed variance of the gradient of one example, unbiased
    signal: Array  # |G|^2 of the true mean gradient, unbiased; negative where noise hides it
    scale: Array  # B = tr(Sigma) / |G|^2 in examples; infinite where the signal is not positive
    low: Array  # the ends of its interval
    high: Array


def moments(loss: LossFn, params: Params, batch: Batch, *, memory: int = MEMORY) -> Moments:
    """Mean and variance of every number of the gradient over the examples of a batch, weighted.

    With p_b = w_b / sum w:

        m = sum_b p_b g_b,    v = (sum_b p_b g_b^2 - m^2) / (1 - sum_b p_b^2).

    For layers with one position the sum of squares is one matrix product of squared inputs and squared cotangents; the gradients of others
    are formed and dropped. A variance far below m^2 has lost its digits to the difference: take float64 for it.

    Args:
        loss: a mean over the batch by `batch.weight`.
        params: where the gradients are taken.
        batch: [batch, ...], at least two examples of positive weight.
        memory: as for `squared_norms`.

    Returns:
        `mean`, `variance` (of one example) and `signal_to_noise` |m| / sqrt(v), 0 where both are 0: each a tree like `params`.

    Raises:
        InputError: as for `per_example_gradients`, or fewer than two examples that count.
    """
    check(loss, params, batch)
    require_examples(batch, 2)
    shares = _shares(batch)

    def of_part(part: tuple[Batch, Array]) -> tuple[Params, list[Array]]:
        examples, p = part
        passes = capture(loss, params, examples)
        _, records = passes(examples)
        squares = [_mean_square(passes, leaf, records, p) for leaf in range(len(passes.parameters))]
        return weighted_sum(passes, records, p), squares

    mean, squares = added_up(of_part, microbatch_size(loss, params, batch, memory), (batch, shares))
    square: Any = jax.tree.unflatten(jax.tree.structure(params), squares)
    unbiased = 1 - jnp.sum(shares**2)

    def scatter(m: Array, s: Array) -> Array:
        return jnp.maximum(s - as_real(m) ** 2, 0) / unbiased.astype(s.dtype)

    variance = jax.tree.map(scatter, mean, square)
    return Moments(mean, variance, jax.tree.map(_ratio, mean, variance))


def noise_scale(
    loss: LossFn,
    params: Params,
    batch: Batch,
    *,
    per_leaf: bool = False,
    level: ArrayLike = 0.68,
    memory: int = MEMORY,
) -> NoiseScale | Any:
    """The gradient noise scale B = tr(Sigma) / |G|^2: the batch size, in examples, up to which larger batches save steps.

    G is the true mean gradient, Sigma the covariance of the gradient of one example. With p_b = w_b / sum w, m = sum_b p_b g_b and
    P = sum_b p_b^2 (1 / n for equal weights) both are estimated without bias:

        tr(Sigma) = (sum_b p_b |g_b|^2 - |m|^2) / (1 - P),    |G|^2 = |m|^2 - P tr(Sigma).

    The interval is that of 1 / B, by the jackknife over examples: its upper end in B is infinite where the noise could hide all of the
    signal. Leaving an example out needs only |g_b|^2 and <g_b, m>.

    Args:
        loss: a mean over the batch by `batch.weight`.
        params: where the gradients are taken.
        batch: [batch, ...], the more the better: a data set, in microbatches.
        per_leaf: whether to return one for every parameter by itself, in a tree like `params`.
        level: probability content of the interval.
        memory: as for `squared_norms`.

    Returns:
        `scatter` tr(Sigma), `signal` |G|^2 (negative where noise hides it), `scale` B in examples (infinite where the signal is not
        positive), and the ends `low` and `high` of its interval.

    Raises:
        InputError: as for `per_example_gradients`; fewer than three examples that count; a loss that is not the mean of the losses of its
            examples; a gradient that is not finite (the message says of which example). Under `jit` values are not known, and not judged.

    Source: McCandlish et al. 2018, arXiv:1812.06162.
    """
    check(loss, params, batch)
    require_examples(batch, 3)
    shares = _shares(batch)
    size = microbatch_size(loss, params, batch, memory)

    def mean(part: tuple[Batch, Array]) -> tuple[Params, Array]:
        examples, p = part
        passes = capture(loss, params, examples)
        losses, records = passes(examples)
        return weighted_sum(passes, records, p), jnp.sum(losses * p.astype(losses.dtype))

    gradient, value = added_up(mean, size, (batch, shares))

    def sizes(examples: Batch) -> tuple[list[Array], list[Array]]:
        passes = capture(loss, params, examples)
        return norms_and_products(passes, passes(examples)[1], gradient)

    norms, products = mapped(sizes, size, batch)
    _require_finite(norms)
    _require_mean(loss, params, batch, value)
    squares = [jnp.sum(as_real(leaf) ** 2) for leaf in jax.tree.leaves(gradient)]
    if per_leaf:
        found = [_noise(each, shares, level) for each in zip(norms, products, squares, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(params), found)
    total: list[Any] = [sum(each) for each in (norms, products, squares)]
    return _noise((total[0], total[1], total[2]), shares, level)


def _noise(sizes: tuple[Array, Array, Array], p: Array, level: ArrayLike) -> NoiseScale:
    norms, products, square = sizes
    p = p.astype(norms.dtype)
    mean_norm, concentration = jnp.sum(p * norms), jnp.sum(p**2)
    left = 1 - p  # the shares of the others, for each that is left out

    def estimate(mean_norm: Array, square: Array, concentration: Array) -> tuple[Array, Array]:
        scatter = (mean_norm - square) / (1 - concentration)
        return scatter, square - concentration * scatter

    scatter, signal = estimate(mean_norm, square, concentration)
    without = estimate(
        (mean_norm - p * norms) / left,
        (square - 2 * p * products + p**2 * norms) / left**2,
        (concentration - p**2) / left**2,
    )
    counted = p > 0
    number = jnp.sum(counted).astype(p.dtype)
    inverse, inverses = signal / scatter, jnp.where(counted, without[1] / without[0], 0)
    spread = jnp.where(counted, inverses - jnp.sum(inverses) / number, 0)
    quantile = jax.scipy.special.ndtri((1 + jnp.asarray(level, p.dtype)) / 2)
    error = quantile * jnp.sqrt((number - 1) / number * jnp.sum(spread**2))

    def scale(inverse: Array) -> Array:
        return jnp.where(inverse > 0, 1 / jnp.where(inverse > 0, inverse, 1), jnp.inf)

    return NoiseScale(scatter, signal, scale(inverse), scale(inverse + error), scale(inverse - error))


def _require_finite(norms: list[Array]) -> None:
    whole = sum(norms[1:], norms[0])
    if isinstance(whole, jax.core.Tracer) or bool(jnp.all(jnp.isfinite(whole))):
        return
    wrong = ~np.isfinite(np.asarray(whole))
    raise InputError(
        f"loss: expected finite gradients, got one that is not of example {int(np.argmax(wrong))}, the first of {int(wrong.sum())}; "
        "repair these examples, leave them out, or give them the weight 0"
    )


def _require_mean(loss: LossFn, params: Params, batch: Batch, mean: Array) -> None:
    value = loss(params, batch)[0]
    if isinstance(value, jax.core.Tracer) or bool(jnp.isclose(value, mean, rtol=1e-3, atol=1e-6)):
        return
    raise InputError(
        f"loss: expected the mean of the losses of the examples by batch.weight, {float(mean):g}, got {float(value):g}; "
        "divide a sum by the sum of the weights, or make it with losses.objective"
    )


def _ratio(mean: Array, variance: Array) -> Array:
    deviation = jnp.sqrt(variance)
    return jnp.abs(as_real(mean)) / jnp.where(mean == 0, jnp.ones_like(deviation), deviation)


def _shares(batch: Batch) -> Array:
    weight = as_real(batch.weight)
    return weight / jnp.sum(weight)


def require_examples(batch: Batch, least: int) -> None:
    """Raise InputError unless so many examples have a positive weight; of traced weights nothing is known."""
    if isinstance(batch.weight, jax.core.Tracer):
        return
    found = int(np.sum(np.asarray(batch.weight) > 0))
    if found < least:
        raise InputError(
            f"batch.weight: expected at least {least} examples of positive weight, got {found}; give more examples"
        )


def _mean_square(passes: Capture, leaf: int, records: Records, p: Array) -> Array:
    """sum_b p_b g_b^2 of one leaf, in its shape."""
    product = product_of(passes, leaf)
    if product is not None and product.positions == 1:
        a, d = jax.vmap(product.factors)(records)
        scaled = d[:, :, 0] ** 2 * p.astype(d.dtype)[:, None, None]
        return product.restore(jnp.einsum("ngi,ngo->gio", a[:, :, 0] ** 2, scaled))
    parameter = passes.parameters[leaf]

    def squares(one: Records, p: Array) -> Array:
        return jnp.square(as_real(passes.gradients_of_example(one, [leaf])[0])) * p.astype(as_real(parameter).dtype)

    def added(part: tuple[Records, Array]) -> Array:
        return jnp.sum(jax.vmap(squares)(*part), 0)

    return added_up(added, block_size(parameter.size), (records, p))
