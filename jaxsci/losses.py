"""Losses of one example, their mean over a batch, and penalties J(a) on the weights.

A loss of one example is any function (output, target) -> scalar. Its knobs are keyword-only, may be traced arrays (so
that a sweep can map over them) and are bound by `functools.partial`; `objective` makes of it the function of (params,
batch) that training minimizes:

    loss = objective(model.apply, partial(cross_entropy, label_smoothing=0.1))
    loss = regularized(loss, l2, strength=1e-4)
"""

import functools
import operator
from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxsci.core import Array, Batch, ExampleLoss, Inputs, LossFn, Metrics, Params, Penalty

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "binary_focal",
    "correct",
    "cross_entropy",
    "elastic_net",
    "focal",
    "huber",
    "l1",
    "l2",
    "objective",
    "quantile",
    "regularized",
    "squared_error",
    "weights_of",
]


def squared_error(output: Array, target: Array) -> Array:
    """Mean over the components of (output - target)^2; both of one shape, any rank (a number, a vector, an image)."""
    chex.assert_equal_shape([output, target])
    return jnp.mean(optax.losses.squared_error(output, target.astype(output.dtype)))


def absolute_error(output: Array, target: Array) -> Array:
    """Mean over the components of |output - target|; both of one shape, any rank."""
    chex.assert_equal_shape([output, target])
    return jnp.mean(_absolute(output - target.astype(output.dtype)))


def huber(output: Array, target: Array, *, delta: ArrayLike = 1.0) -> Array:
    """Mean over the components, d = output - target, of d^2 / 2 for |d| <= delta and delta (|d| - delta / 2) beyond.

    `delta` has the unit of the target. Source: Huber 1964, Annals of Mathematical Statistics 35, 73.
    """
    chex.assert_equal_shape([output, target])
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
    chex.assert_rank([output, target], [1, 0])
    levels = jnp.asarray(levels, output.dtype)
    chex.assert_equal_shape([output, levels])
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
        Scalar in the dtype of the logit; NaN for a label outside [0, 1].
    """
    chex.assert_rank([logit, label], 0)
    smoothing = jnp.asarray(label_smoothing, logit.dtype)
    y = label.astype(logit.dtype)
    loss = optax.losses.sigmoid_binary_cross_entropy(logit, (1 - smoothing) * y + smoothing / 2)
    return _weighted_answer(loss, y, class_weights)


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
        Scalar in the dtype of the logits; NaN for a label outside 0 to K - 1.
    """
    target = optax.losses.smooth_labels(_one_hot(logits, label), jnp.asarray(label_smoothing, logits.dtype))
    loss = optax.losses.softmax_cross_entropy(logits, target)
    return _weighted_class(loss, logits, label, class_weights)


def binary_focal(
    logit: Array, label: Array, *, gamma: ArrayLike = 2.0, class_weights: ArrayLike | None = None
) -> Array:
    """Focal loss of a yes/no answer: -w_y (1 - p_y)^gamma log p_y, with p_y the probability given to the label.

    A larger gamma >= 0 takes weight from examples that are already right; the other arguments and the result are as in
    `binary_cross_entropy`, which it is at gamma = 0. The alpha of the source is `class_weights=(1 - alpha, alpha)`.
    Source: Lin et al. 2017, arXiv:1708.02002.
    """
    chex.assert_rank([logit, label], 0)
    y = label.astype(logit.dtype)
    loss = optax.losses.sigmoid_focal_loss(logit, y, gamma=jnp.asarray(gamma, logit.dtype))
    return _weighted_answer(loss, y, class_weights)


def focal(logits: Array, label: Array, *, gamma: ArrayLike = 2.0, class_weights: ArrayLike | None = None) -> Array:
    """Focal loss of K >= 2 classes: -w_y (1 - p_y)^gamma log p_y with p = softmax(z).

    gamma >= 0 as in `binary_focal`; the other arguments and the result as in `cross_entropy`, which it is at gamma = 0.
    """
    right = _one_hot(logits, label)
    # log(1 - p_y) as a difference of log-sums: 1 - p_y itself loses all digits where p_y is near 1.
    log_wrong = jax.nn.logsumexp(logits, where=right == 0) - jax.nn.logsumexp(logits)
    loss = jnp.exp(jnp.asarray(gamma, logits.dtype) * log_wrong) * optax.losses.softmax_cross_entropy(logits, right)
    return _weighted_class(loss, logits, label, class_weights)


def correct(logits: Array, label: Array) -> Array:
    """1 if the answer is right, 0 if wrong: the entry of `metrics` whose mean is the accuracy.

    Args:
        logits: [class], the largest decides (the first of equals); or a scalar logit, yes above 0.
        label: scalar, 0 to K - 1 (0 or 1).

    Returns:
        Scalar in the dtype of the logits; NaN where a logit is NaN.
    """
    chex.assert_rank([logits, label], [{0, 1}, 0])
    answer = jnp.argmax(logits) if logits.ndim else (logits > 0).astype(jnp.int32)
    right = (answer.astype(logits.dtype) == label.astype(logits.dtype)).astype(logits.dtype)
    return jnp.where(jnp.any(jnp.isnan(logits)), jnp.nan, right)


def objective(
    apply: Callable[[Params, Inputs], Array],
    example_loss: ExampleLoss,
    *,
    metrics: Mapping[str, ExampleLoss] | None = None,
    batched: bool = False,
) -> LossFn:
    """The loss of a batch: the mean of `example_loss` weighted by `batch.weight`.

    An example of weight 0 contributes exactly nothing to the value and to every derivative, whatever stands in it, NaN
    included. A batch of padding alone has loss 0 and zero gradients.

    Args:
        apply: a model of one example.
        example_loss: (output, target) -> scalar.
        metrics: further functions of the same form to report, such as {"accuracy": correct}.
        batched: whether `apply` takes [batch, ...] inputs; otherwise it is vmapped over the examples.

    Returns:
        A function (params, batch) -> (loss, metrics). The metrics are weighted means over the batch, "loss" and one for
        each of `metrics`, and "weight", the sum of the batch's weights w_b: the mean over many batches, sum_b w_b m_b / sum_b w_b,
        is then exact for batches of unequal weight.
    """
    functions = {**(metrics or {}), "loss": example_loss}

    def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        chex.assert_rank(batch.weight, 1)
        chex.assert_equal_shape_prefix([batch.weight, *jax.tree.leaves((batch.x, batch.y))], 1)
        mask = jnp.asarray(batch.weight).astype(bool)

        def of_example(output: Array, y: Array) -> dict[str, Array]:
            return {name: function(output, y) for name, function in functions.items()}

        x, y = _fill_padding((batch.x, batch.y), mask)
        outputs = apply(params, x) if batched else jax.vmap(functools.partial(apply, params))(x)
        values = jax.vmap(of_example)(outputs, y)
        weight = batch.weight.astype(values["loss"].dtype)
        total = jnp.sum(weight)
        safe = jnp.where(total == 0, jnp.ones_like(total), total)

        def mean(value: Array) -> Array:
            return jnp.sum(jnp.where(mask, weight * value.astype(weight.dtype), jnp.zeros_like(weight))) / safe

        metrics = {name: mean(value) for name, value in values.items()}
        return metrics["loss"], {**metrics, "weight": total}

    return loss


def l1(params: Params) -> Array:
    """J(a) = sum |w| over the weights, biases left out (see `weights_of`)."""
    return functools.reduce(operator.add, [jnp.sum(_absolute(w)) for w in weights_of(params)])


def l2(params: Params) -> Array:
    """J(a) = sum w^2 over the weights, biases left out (see `weights_of`). No factor 1/2."""
    return functools.reduce(operator.add, [jnp.sum(jnp.square(w)) for w in weights_of(params)])


def elastic_net(params: Params, *, l1_ratio: ArrayLike = 0.5) -> Array:
    """J(a) = r sum |w| + (1 - r) sum w^2, r = `l1_ratio`: from `l2` at 0 to `l1` at 1.

    scikit-learn's ElasticNet has a further 1/2 on the squares. Source: Zou and Hastie 2005, J. R. Stat. Soc. B 67, 301.
    """
    absolute, squares = l1(params), l2(params)
    ratio = jnp.asarray(l1_ratio, absolute.dtype)
    return ratio * absolute + (1 - ratio) * squares


def weights_of(params: Params) -> list[Array]:
    """The leaves that a penalty acts on: those whose key is "kernel".

    That is the name of every weight of a layer in this library and in flax.linen. What is named otherwise is not
    penalized: "bias", the "scale" of a normalization, an "embedding".

    Raises:
        ValueError: there is no such leaf, so that a penalty would be 0 whatever the model does.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    weights = [leaf for path, leaf in leaves if path and getattr(path[-1], "key", None) == "kernel"]
    if not weights:
        raise ValueError(
            'penalty: expected weights named "kernel", found none; rename them or write a penalty for them'
        )
    return weights


def regularized(loss: LossFn, penalty: Penalty, strength: ArrayLike) -> LossFn:
    """The loss plus strength * J(params).

    `strength` (lambda) may be a traced array. In the metrics "loss" is the sum, and "penalty" = strength * J its second
    part: the difference is what losses at different strengths are compared by.
    """

    def with_penalty(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        value, metrics = loss(params, batch)
        scaled = penalty(params).astype(value.dtype) * jnp.asarray(strength, value.dtype)
        return value + scaled, {**metrics, "loss": value + scaled, "penalty": scaled}

    return with_penalty


def _absolute(x: Array) -> Array:
    return x * jnp.sign(
        x
    )  # of slope 0 at 0; that of jnp.abs is 1 there, and would move a weight that an L1 penalty holds


def _one_hot(logits: Array, label: Array) -> Array:
    chex.assert_rank([logits, label], [1, 0])
    chex.assert_type(label, int)
    return jax.nn.one_hot(label, logits.size, dtype=logits.dtype)


def _weighted_class(loss: Array, logits: Array, label: Array, class_weights: ArrayLike | None) -> Array:
    weights = jnp.ones_like(logits) if class_weights is None else jnp.asarray(class_weights, logits.dtype)
    chex.assert_equal_shape([weights, logits])
    # An index outside wraps or vanishes in JAX: the loss would be finite and wrong.
    return jnp.where((label >= 0) & (label < logits.size), loss * weights[label], jnp.nan)


def _weighted_answer(loss: Array, y: Array, class_weights: ArrayLike | None) -> Array:
    weights = jnp.ones(2, y.dtype) if class_weights is None else jnp.asarray(class_weights, y.dtype)
    chex.assert_shape(weights, (2,))
    return jnp.where((y >= 0) & (y <= 1), loss * (weights[0] * (1 - y) + weights[1] * y), jnp.nan)


def _fill_padding(arrays: Inputs, mask: Array) -> Inputs:
    """Padded examples replaced by a copy of the first counted one (zeros if there is none).

    Masking the losses alone is not enough: the derivative of a NaN times a cotangent of 0 is NaN. A model is as
    well-behaved on the copy as on the data, which zeros do not promise (one that divides an image by its sum).
    """
    first = jnp.argmax(mask)

    def fill(leaf: Array) -> Array:
        of_leaf = mask.reshape((-1,) + (1,) * (leaf.ndim - 1))
        copy = jnp.where(mask[first], leaf[first], jnp.zeros_like(leaf[first]))
        return jnp.where(of_leaf, leaf, copy[None])

    return jax.tree.map(fill, arrays)
