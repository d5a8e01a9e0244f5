"""What every metric must stand: jit, vmap, one compilation a shape, float32 in and out."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci import metrics

N, STACK = 40, 3


def of_matrix(metric):
    def applied(predicted, labels, weight):
        return metric(metrics.confusion_matrix(predicted, labels, weight, classes=4))

    return applied


def with_signal(metric, **knobs):
    """A metric of (scores, signal, weight) as one of (scores, labels 0 to 3, weight)."""
    return lambda scores, labels, weight: metric(scores, labels > 1, weight, **knobs)


def with_probability(metric, **knobs):
    return lambda scores, labels, weight: metric(jax.nn.sigmoid(scores), labels > 1, weight, **knobs)


def with_prediction(metric):
    return lambda scores, labels, weight: metric(
        jnp.clip(jnp.round(scores) + 1, 0, 3).astype(jnp.int32), labels, weight
    )


METRICS = {
    "confusion_matrix": with_prediction(partial(metrics.confusion_matrix, classes=4)),
    "accuracy": with_prediction(of_matrix(metrics.accuracy)),
    "recall": with_prediction(of_matrix(metrics.recall)),
    "precision": with_prediction(of_matrix(partial(metrics.precision, average="macro"))),
    "f1": with_prediction(of_matrix(partial(metrics.f1, average="micro"))),
    "roc_curve": with_signal(metrics.roc_curve),
    "auc": with_signal(metrics.auc),
    "placements": with_signal(metrics.placements),
    "average_precision": with_signal(metrics.average_precision),
    "background_rejection": with_signal(metrics.background_rejection, signal_efficiency=0.5),
    "rejection_interval": with_signal(metrics.rejection_interval, signal_efficiency=0.5),
    "auc_interval": with_signal(metrics.auc_interval),
    "log_loss": with_signal(metrics.log_loss),
    "brier_score": with_probability(metrics.brier_score),
    "calibration_curve": with_probability(metrics.calibration_curve, bins=5),
    "calibration_error": with_probability(metrics.expected_calibration_error, bins=5, binning="equal_mass"),
    "rmse": lambda scores, labels, weight: metrics.rmse(scores, labels.astype(jnp.float32), weight),
    "mae": lambda scores, labels, weight: metrics.mae(scores, labels.astype(jnp.float32), weight),
    "r2": lambda scores, labels, weight: metrics.r2(scores, labels.astype(jnp.float32), weight),
}


@pytest.fixture(scope="module")
def stacked():
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(STACK, N)), 1).astype(np.float32)
    labels = rng.integers(0, 4, (STACK, N)).astype(np.int32)
    return jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(rng.random((STACK, N)).astype(np.float32))


close = partial(chex.assert_trees_all_close, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_transformations(name, stacked):
    metric = METRICS[name]
    chex.clear_trace_counter()  # it counts by name, and several of these are called <lambda>
    jitted = jax.jit(chex.assert_max_traces(metric, n=1))
    rows = [jitted(*(leaf[row] for leaf in stacked)) for row in range(STACK)]  # one trace for all values
    close(jax.jit(jax.vmap(metric))(*stacked), jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(rows[0]))
    assert all(np.isfinite(leaf).any() for leaf in jax.tree.leaves(rows[0]))


# Op by op is slow; the other metrics are made of the same parts.
@pytest.mark.parametrize(
    "name", ["confusion_matrix", "recall", "roc_curve", "auc", "calibration_error", "log_loss", "r2"]
)
def test_eager_equals_compiled(name, stacked):
    example = [leaf[0] for leaf in stacked]
    close(METRICS[name](*example), jax.jit(METRICS[name])(*example))


def test_an_ensemble_of_scores_against_the_same_labels(stacked):
    scores, labels, _ = stacked
    signal = labels[0] > 1
    areas = jax.jit(jax.vmap(metrics.auc, in_axes=(0, None)))(scores, signal)
    np.testing.assert_allclose(areas, [jax.jit(metrics.auc)(row, signal) for row in scores], rtol=1e-6)
