"""Losses of one example: functions (output, target) -> scalar."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxsci._numerics import as_real, product
from jaxsci._shapes import expect_dtype, expect_example, expect_shapes
from jaxsci.core import Array


def squared_error(output: Array, target: Array) -> Array:
    """Mean over the components of (output - target)^2; both of one shape, any rank (a number, a vector, an image)."""
    expect_shapes("target [*shape], output [*shape]", target, output)
    output = as_real(output)
    return jnp.mean(optax.losses.squared_error(output, target.astype(output.dtype)))


def absolute_error(output: Array, target: Array) -> Array:
    """Mean over the components of |output - target|; both of one shape, any rank."""
    expect_shapes("target [*shape], output [*shape]", target, output)
    output = as_real(output)
    return jnp.mean(absolute(output - target.astype(output.dtype)))


def huber(output: Array, target: Array, *, delta: ArrayLike = 1.0) -> Array:
    """Mean over the components, d = output - target, of d^2 / 2 for |d| <= delta and delta (|d| - delta / 2) beyond.

    `delta` has the unit of the target. Source: Huber 1964, Annals of Mathematical Statistics 35, 73.
    """
    expect_shapes("target [*shape], output [*shape]", target, output)
    output = as_real(output)
    delta = jnp.asarray(delta, output.dtype)
    return jnp.mean(optax.losses.huber_loss(output, target.astype(output.dtype), delta=delta))


def quantile(output: Array, target: Array, *, levels: ArrayLike) -> Array:
    """Mean over the levels t of max(t d, (t - 1) d) with d = target - output_t: smallest where output_t is the t-quantile of the target.

    Args:
        output: [level], a quantile a level.
        target: scalar.
        levels: [level], in (0, 1).

    Source: Koenker and Bassett 1978, Econometrica 46, 33.
    """
    expect_example("output [level], target []", output, target)
    output = as_real(output)
    levels = jnp.asarray(levels, output.dtype)
    expect_shapes("output [level], levels [level]", output, levels)
    difference = target.astype(output.dtype) - output
    return jnp.mean(jnp.maximum(levels * difference, (levels - 1) * difference))


def binary_cross_entropy(
    logit: Array, label: Array, *, class_weights: ArrayLike | None = None, label_smoothing: ArrayLike = 0.0
) -> Array:
    """Negative log-likelihood of a yes/no answer, from its logit z with p = 1 / (1 + exp(-z)).

    With smoothing s and class weights (w_0, w_1):

        y' = (1 - s) y + s / 2,     loss = (w_0 (1 - y) + w_1 y) (-y' log p - (1 - y') log(1 - p)).

    Args:
        logit: scalar, floating.
        label: scalar of any dtype: 0 or 1, or a probability between.
        class_weights: [2], the factor on the loss of an example of class 0 and of class 1; none: (1, 1).
        label_smoothing: s in [0, 1]; the two-class case of the smoothing in `cross_entropy`.

    Returns:
        Scalar in the dtype of the logit, at least float32; NaN for a label outside [0, 1]. An infinite logit of the
        right sign has loss 0.
    """
    logit, y = _answer(logit, label)
    smoothing = jnp.asarray(label_smoothing, logit.dtype)
    return _weighted_answer(_cross_entropy_of_answer(logit, (1 - smoothing) * y + smoothing / 2), y, class_weights)


def cross_entropy(
    logits: Array, label: Array, *, class_weights: ArrayLike | None = None, label_smoothing: ArrayLike = 0.0
) -> Array:
    """Negative log-likelihood of the right one of K classes, from logits z with p = softmax(z).

    With smoothing s, class weights w and y the label:

        t_k = (1 - s) [k = y] + s / K,     loss = w_y sum_k -t_k log p_k.

    The weight is that of the example's class, as scikit-learn and Keras have it; `objective` divides by the sum of the
    examples' weights, not of the class weights.

    Args:
        logits: [class], floating.
        label: integer scalar, 0 to K - 1.
        class_weights: [class]; none: all 1.
        label_smoothing: s in [0, 1] (Szegedy et al. 2016, arXiv:1512.00567).

    Returns:
        Scalar in the dtype of the logits, at least float32; NaN for a label outside 0 to K - 1. A logit of -infinity
        excludes a class that is not the label.
    """
    logits = as_real(logits)
    target = optax.losses.smooth_labels(_one_hot(logits, label), jnp.asarray(label_smoothing, logits.dtype))
    loss = -jnp.sum(product(target, jax.nn.log_softmax(logits)))
    return _weighted_class(loss, logits, label, class_weights)


def binary_focal(
    logit: Array, label: Array, *, gamma: ArrayLike = 2.0, class_weights: ArrayLike | None = None
) -> Array:
    """Focal loss of a yes/no answer: -w_y (1 - p_y)^gamma log p_y, with p_y the probability given to the label.

    A larger gamma >= 0 takes weight from examples that are already right; the other arguments and the result are as in
    `binary_cross_entropy`, which it is at gamma = 0. The alpha of the source is `class_weights=(1 - alpha, alpha)`.
    Source: Lin et al. 2017, arXiv:1708.02002.
    """
    logit, y = _answer(logit, label)
    wrong = y * jax.nn.sigmoid(-logit) + (1 - y) * jax.nn.sigmoid(logit)  # 1 - p_y, with all digits near 0
    possible = wrong > 0
    log_wrong = jnp.where(possible, jnp.log(jnp.where(possible, wrong, 1)), -jnp.inf)
    loss = _focused(gamma, log_wrong, _cross_entropy_of_answer(logit, y))
    return _weighted_answer(loss, y, class_weights)


def focal(logits: Array, label: Array, *, gamma: ArrayLike = 2.0, class_weights: ArrayLike | None = None) -> Array:
    """Focal loss of K >= 2 classes: -w_y (1 - p_y)^gamma log p_y with p = softmax(z).

    gamma >= 0 as in `binary_focal`; the other arguments and the result as in `cross_entropy`, which it is at gamma = 0.
    """
    logits = as_real(logits)
    right = _one_hot(logits, label)
    # log(1 - p_y) as a difference of log-sums: 1 - p_y itself loses all digits where p_y is near 1.
    certain = jnp.all((right == 1) | (logits == -jnp.inf))  # the log of a sum of zeros has no slope
    finite = jnp.where(certain & (right == 0), jnp.zeros_like(logits), logits)
    wrong = jax.nn.logsumexp(finite, where=right == 0) - jax.nn.logsumexp(logits)
    log_wrong = jnp.where(certain, -jnp.inf, wrong)
    loss = _focused(gamma, log_wrong, -jnp.sum(product(right, jax.nn.log_softmax(logits))))
    return _weighted_class(loss, logits, label, class_weights)


def correct(logits: Array, label: Array) -> Array:
    """1 if the answer is right, 0 if wrong: the entry of `metrics` whose mean is the accuracy.

    Args:
        logits: [class], the largest decides (the first of equals); or a scalar logit, yes above 0.
        label: scalar, 0 to K - 1 (0 or 1).

    Returns:
        Scalar in the dtype of the logits, at least float32; NaN where a logit is NaN.
    """
    expect_example("logits [class?], label []", logits, label)
    logits = as_real(logits)
    answer = jnp.argmax(logits) if logits.ndim else (logits > 0).astype(jnp.int32)
    right = (answer.astype(logits.dtype) == label.astype(logits.dtype)).astype(logits.dtype)
    return jnp.where(jnp.any(jnp.isnan(logits)), jnp.nan, right)


def _focused(gamma: ArrayLike, log_wrong: Array, entropy: Array) -> Array:
    """(1 - p_y)^gamma times the cross-entropy -log p_y; where that is infinite its factor is 1, and so is that of its slope."""
    possible = entropy < jnp.inf
    focus = jnp.exp(product(jnp.asarray(gamma, log_wrong.dtype), log_wrong))
    return jnp.where(possible, focus * jnp.where(possible, entropy, 0), entropy)


def _answer(logit: Array, label: Array) -> tuple[Array, Array]:
    """Logit and label of a yes/no answer, in a dtype that losses are computed in."""
    expect_example("logit [], label []", logit, label)
    logit = as_real(logit)
    return logit, label.astype(logit.dtype)


def _cross_entropy_of_answer(logit: Array, y: Array) -> Array:
    return product(y, jax.nn.softplus(-logit)) + product(1 - y, jax.nn.softplus(logit))


def _one_hot(logits: Array, label: Array) -> Array:
    expect_example("logits [class], label []", logits, label)
    expect_dtype("label", label, "integer")
    return jax.nn.one_hot(label, logits.size, dtype=logits.dtype)


def _weighted_class(loss: Array, logits: Array, label: Array, class_weights: ArrayLike | None) -> Array:
    weights = jnp.ones_like(logits) if class_weights is None else jnp.asarray(class_weights, logits.dtype)
    expect_shapes("logits [class], class_weights [class]", logits, weights)
    # A sum instead of weights[label], which is refused where labels lie on an explicit axis of a mesh.
    weight = jnp.sum(product(_one_hot(logits, label), weights))
    # A label outside has weight 0: the loss would be finite and wrong.
    return jnp.where((label >= 0) & (label < logits.size), product(weight, loss), jnp.nan)


def _weighted_answer(loss: Array, y: Array, class_weights: ArrayLike | None) -> Array:
    weights = jnp.ones(2, y.dtype) if class_weights is None else jnp.asarray(class_weights, y.dtype)
    expect_shapes("class_weights [2]", weights)
    return jnp.where((y >= 0) & (y <= 1), product(weights[0] * (1 - y) + weights[1] * y, loss), jnp.nan)


def absolute(x: Array) -> Array:
    """|x|."""
    # Of slope 0 at 0; that of jnp.abs is 1 there, and would move a weight that an L1 penalty holds.
    return x * jnp.sign(x)
