"""The confusion matrix, and what is read off it: accuracy, recall, precision, F1."""

from typing import Literal, TypeAlias

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxsci._numerics import as_real
from jaxsci._shapes import expect_dtype, expect_shapes
from jaxsci.core import Array
from jaxsci.metrics._sums import bin_sums

Average: TypeAlias = Literal["macro", "micro"] | None


def predicted_class(logits: Array) -> Array:
    """The class with the largest logit or probability, the first of equals: [example, class] -> int32 [example].

    -1 where any entry is NaN, so that `confusion_matrix` and all that follows from it become undefined instead of
    counting a guess.
    """
    expect_shapes("logits [example, class]", logits)
    return jnp.where(jnp.any(jnp.isnan(logits), axis=1), -1, jnp.argmax(logits, axis=1).astype(jnp.int32))


def predicted_label(scores: Array, *, threshold: ArrayLike = 0.0) -> Array:
    """1 where the score is above the threshold, else 0, and -1 where it is NaN: [example] -> int32 [example].

    The threshold is 0 for logits and 0.5 for probabilities.
    """
    expect_shapes("scores [example]", scores)
    scores = jnp.asarray(scores)
    return jnp.where(jnp.isnan(scores), -1, (scores > jnp.asarray(threshold, scores.dtype)).astype(jnp.int32))


def confusion_matrix(predicted: Array, labels: Array, weight: Array | None = None, *, classes: int) -> Array:
    """Count the examples of each true class (row) that were given each class (column).

    Args:
        predicted: [example], integers 0 to classes - 1.
        labels: [example], integers 0 to classes - 1.
        weight: [example]; none or a boolean mask gives counts, exact in int32; real weights give sums in their dtype.
        classes: number of classes, at least 2; static.

    Returns:
        [class, class]; sums over batches may be added. If an example of non-zero weight has a label or a prediction
        outside 0 to classes - 1, every entry is invalid, the lowest int32 or NaN, and all metrics of the matrix are
        NaN. (scikit-learn drops such examples when it is told the labels, and counts the rest.)
    """
    expect_shapes("predicted [example], labels [example]", predicted, labels)
    expect_dtype("predicted", predicted, "integer")
    expect_dtype("labels", labels, "integer")
    predicted, labels = jnp.asarray(predicted), jnp.asarray(labels)
    weight = jnp.ones(labels.shape, bool) if weight is None else jnp.asarray(weight)
    expect_shapes("labels [example], weight [example]", labels, weight)
    counted = weight.astype(bool)
    values = weight.astype(jnp.int32) if weight.dtype == bool else as_real(weight)
    inside = (labels >= 0) & (labels < classes) & (predicted >= 0) & (predicted < classes)
    cell = labels.astype(jnp.int32) * classes + predicted.astype(jnp.int32)
    matrix = bin_sums(values, jnp.where(inside & counted, cell, -1), classes * classes).reshape(classes, classes)
    counts = jnp.issubdtype(matrix.dtype, jnp.integer)
    invalid = jnp.iinfo(matrix.dtype).min if counts else jnp.nan
    return jnp.where(jnp.any(~inside & counted), jnp.asarray(invalid, matrix.dtype), matrix)


def accuracy(matrix: Array) -> Array:
    """Right answers / all answers, from a confusion matrix [class, class]; NaN without examples."""
    matrix = _valid(matrix)
    return jnp.trace(matrix) / jnp.sum(matrix)


def recall(matrix: Array, *, average: Average = None, zero_division: ArrayLike = jnp.nan) -> Array:
    """Right answers of a class / examples of the class.

    Args:
        matrix: confusion matrix [class, class].
        average: none: one number a class [class]. "macro": their plain mean over the classes. "micro": from the sums
            over the classes, which with one label an example is the accuracy.
        zero_division: the value of 0/0, here of a class without examples. NaN stays NaN in that class and is left out
            of the macro mean, as in scikit-learn's `zero_division=np.nan`; scikit-learn's default is 0.

    Returns:
        [class], or a scalar for an average; NaN where nothing is defined.
    """
    matrix = _valid(matrix)
    return _ratio(jnp.diagonal(matrix), jnp.sum(matrix, axis=1), average, zero_division)


def precision(matrix: Array, *, average: Average = None, zero_division: ArrayLike = jnp.nan) -> Array:
    """Right answers of a class / examples that were given the class; arguments as in `recall`.

    0/0 is here a class that was never given.
    """
    matrix = _valid(matrix)
    return _ratio(jnp.diagonal(matrix), jnp.sum(matrix, axis=0), average, zero_division)


def f1(matrix: Array, *, average: Average = None, zero_division: ArrayLike = jnp.nan) -> Array:
    """Harmonic mean of recall and precision, 2 right / (examples of the class + given the class); arguments as in
    `recall`.

    0/0 is here a class that neither occurs nor was given; a class with examples that was never given has F1 = 0.
    """
    matrix = _valid(matrix)
    return _ratio(2 * jnp.diagonal(matrix), jnp.sum(matrix, axis=0) + jnp.sum(matrix, axis=1), average, zero_division)


def _valid(matrix: Array) -> Array:
    expect_shapes("matrix [class, class]", matrix)
    matrix = jnp.asarray(matrix)
    return jnp.where(jnp.any(matrix < 0), jnp.nan, as_real(matrix))


def _ratio(right: Array, total: Array, average: Average, zero_division: ArrayLike) -> Array:
    if average == "micro":
        right, total = jnp.sum(right), jnp.sum(total)
    of_nothing = jnp.asarray(zero_division, right.dtype)
    ratio = jnp.where(total == 0, of_nothing, right / jnp.where(total == 0, jnp.ones_like(total), total))
    if average != "macro":
        return ratio
    counted = (total != 0) | ~jnp.isnan(of_nothing)
    return jnp.mean(ratio, where=counted)
