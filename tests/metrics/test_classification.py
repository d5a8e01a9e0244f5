"""The confusion matrix and its ratios at their edges; tests/metrics/test_against_sklearn.py has the ordinary cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import metrics
from jaxsci.metrics import predicted_class, predicted_label

# Compiled: op by op each new shape costs seconds.
confusion_matrix = jax.jit(metrics.confusion_matrix, static_argnames="classes")
accuracy = jax.jit(metrics.accuracy)
recall, precision, f1 = (
    jax.jit(metric, static_argnames="average") for metric in (metrics.recall, metrics.precision, metrics.f1)
)


def test_rows_are_true_classes():
    matrix = confusion_matrix(jnp.array([1, 1, 0]), jnp.array([0, 1, 0]), classes=3)
    assert matrix.dtype == jnp.int32
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])


def test_sums_over_batches_are_the_matrix_of_all():
    rng = np.random.default_rng(0)
    labels, predicted = jnp.asarray(rng.integers(0, 4, (2, 90)))
    whole = confusion_matrix(predicted, labels, classes=4)
    parts = [
        confusion_matrix(p, y, classes=4) for p, y in zip(predicted.reshape(3, 30), labels.reshape(3, 30), strict=True)
    ]
    np.testing.assert_array_equal(sum(parts), whole)


def test_counts_beyond_the_integers_of_float32_are_exact():
    n = 2**24 + 3
    matrix = confusion_matrix(jnp.zeros(n, jnp.int8), jnp.zeros(n, jnp.int8), classes=2)
    assert int(matrix[0, 0]) == n


def test_real_weights_keep_their_digits():
    # One after another in float32, 400,000 times 0.1 is 40,021.
    n = 400_000
    matrix = confusion_matrix(jnp.zeros(n, jnp.int32), jnp.zeros(n, jnp.int32), jnp.full(n, 0.1), classes=2)
    np.testing.assert_allclose(matrix[0, 0], n * float(np.float32(0.1)), rtol=1e-6)


@pytest.mark.parametrize(("prediction", "label"), [(-1, 0), (3, 0), (0, -1), (0, 3)])
@pytest.mark.parametrize("weight", [None, jnp.ones(3)])
def test_a_class_outside_the_range_makes_all_undefined(prediction, label, weight):
    predicted, labels = jnp.array([0, 1, prediction]), jnp.array([0, 1, label])
    matrix = confusion_matrix(predicted, labels, weight, classes=3)
    assert (np.isnan(matrix) if weight is not None else np.asarray(matrix) < 0).all()
    assert np.isnan(accuracy(matrix))
    for metric in (recall, precision, f1):
        assert np.isnan(metric(matrix, zero_division=0.0)).all()
        assert np.isnan(metric(matrix, average="macro"))
        assert np.isnan(metric(matrix, average="micro"))


def test_nan_scores_are_no_prediction():
    logits = jnp.array([[0.0, 1.0], [jnp.nan, 0.0], [2.0, 2.0]])
    np.testing.assert_array_equal(predicted_class(logits), [1, -1, 0])
    np.testing.assert_array_equal(predicted_label(jnp.array([-1.0, jnp.nan, 1.0, 0.0])), [0, -1, 1, 0])
    np.testing.assert_array_equal(predicted_label(jnp.array([0.4, 0.6]), threshold=0.5), [0, 1])
    matrix = confusion_matrix(predicted_class(logits), jnp.array([1, 1, 0]), classes=2)
    assert np.isnan(accuracy(matrix))


def test_absent_class_and_class_never_given():
    # Class 1 has no examples and is never given, class 2 has none but is given, class 3 has one and is never given.
    matrix = jnp.array([[3, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    nan = np.nan
    np.testing.assert_allclose(recall(matrix), [0.75, nan, nan, 0.0])
    np.testing.assert_allclose(precision(matrix), [0.75, nan, 0.0, nan])
    np.testing.assert_allclose(f1(matrix), [0.75, nan, 0.0, 0.0])
    np.testing.assert_allclose(recall(matrix, average="macro"), 0.375)
    np.testing.assert_allclose(recall(matrix, average="macro", zero_division=0.0), 0.1875)
    np.testing.assert_allclose(recall(matrix, zero_division=1.0), [0.75, 1.0, 1.0, 0.0])


def test_no_examples():
    matrix = confusion_matrix(jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32), classes=2)
    np.testing.assert_array_equal(matrix, np.zeros((2, 2)))
    assert np.isnan(accuracy(matrix))
    assert np.isnan(recall(matrix, average="macro"))
    assert np.isnan(recall(matrix, average="micro"))
    assert float(recall(matrix, average="macro", zero_division=0.0)) == 0.0


def test_micro_averages_are_the_accuracy():
    matrix = jnp.asarray(np.random.default_rng(1).integers(0, 30, (5, 5)), jnp.int32)
    for metric in (recall, precision, f1):
        np.testing.assert_allclose(metric(matrix, average="micro"), accuracy(matrix), rtol=1e-6)
