"""Every metric that scikit-learn has, on 200 random cases (1,000 at length): sizes, ties, imbalance, absent classes, weights, padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk

from jaxsci import metrics

SIZES = (32, 256)  # padded to these, so that each is compiled once
CLASSES = 4
CASES, BLOCK = 1000, 50
# Our float32 results against float64: roundings of the inputs' sums and ratios, a few units of 6e-8 relative to 1.
TOLERANCE = {"rtol": 3e-6, "atol": 3e-7}


def draw_case(seed: int) -> tuple[dict[str, np.ndarray], int]:
    rng = np.random.default_rng(seed)
    size = SIZES[seed % 2]
    n = int(rng.integers(3, size + 1))
    signal = rng.random(n) < rng.choice([0.03, 0.3, 0.5, 0.9])
    scores = rng.normal(size=n) + signal * rng.choice([0.0, 1.0, 3.0])
    scores = scores if rng.random() < 0.4 else np.round(scores, int(rng.integers(0, 2)))  # ties
    drawn = rng.choice(CLASSES, size=int(rng.integers(2, CLASSES + 1)), replace=False)  # some classes absent
    labels = rng.choice(drawn, size=n)
    predicted = np.where(rng.random(n) < 0.6, labels, rng.integers(0, CLASSES, n))
    target = rng.normal(size=n) * 10.0 ** rng.integers(-2, 3) + rng.normal()
    case = {
        "scores": scores.astype(np.float32),
        "signal": signal,
        "labels": labels.astype(np.int32),
        "predicted": predicted.astype(np.int32),
        "target": target.astype(np.float32),
        "estimate": (target + target.std() * rng.normal(size=n)).astype(np.float32),
        "weight": [np.ones(n, bool), rng.integers(1, 6, n).astype(np.float32), rng.random(n).astype(np.float32) + 0.1][
            seed // 3 % 3
        ],
    }
    return case, size


def pad(case: dict[str, np.ndarray], size: int, seed: int) -> dict[str, jax.Array]:
    """The examples at random places among padding that holds NaN, or labels that are none."""
    places = np.sort(np.random.default_rng(seed).choice(size, size=len(case["scores"]), replace=False))

    def place(values: np.ndarray, garbage) -> jax.Array:
        padded = np.full(size, garbage, values.dtype)
        padded[places] = values
        return jnp.asarray(padded)

    garbage = {"signal": True, "labels": -7, "predicted": 99, "weight": 0}
    return {name: place(values, garbage.get(name, np.nan)) for name, values in case.items()}


@jax.jit
def evaluate(case: dict[str, jax.Array], of_nothing: float) -> dict[str, jax.Array]:
    weight, scores, signal = case["weight"], case["scores"], case["signal"]
    matrix = metrics.confusion_matrix(case["predicted"], case["labels"], weight, classes=CLASSES)
    result = {
        "matrix": matrix,
        "accuracy": metrics.accuracy(matrix),
        "auc": metrics.auc(scores, signal, weight),
        "average_precision": metrics.average_precision(scores, signal, weight),
        "roc": metrics.roc_curve(scores, signal, weight),
        "brier": metrics.brier_score(jax.nn.sigmoid(scores), signal, weight),
        "log_loss": metrics.log_loss(scores, signal, weight),
        "rmse": metrics.rmse(case["estimate"], case["target"], weight),
        "mae": metrics.mae(case["estimate"], case["target"], weight),
        "r2": metrics.r2(case["estimate"], case["target"], weight),
    }
    for metric in (metrics.recall, metrics.precision, metrics.f1):
        for average in (None, "macro", "micro"):
            result[f"{metric.__name__} {average}"] = metric(matrix, average=average, zero_division=of_nothing)
    return result


def check_ranking(ours: dict, case: dict[str, np.ndarray], weight: np.ndarray) -> None:
    scores, signal = case["scores"], case["signal"]
    if signal.any():
        expected = sk.average_precision_score(signal, scores, sample_weight=weight)
        np.testing.assert_allclose(ours["average_precision"], expected, **TOLERANCE)
    else:
        assert np.isnan(ours["average_precision"])
    if signal.all() or not signal.any():
        assert np.isnan(ours["auc"])
        return
    np.testing.assert_allclose(ours["auc"], sk.roc_auc_score(signal, scores, sample_weight=weight), **TOLERANCE)
    curve = np.stack(ours["roc"])
    distinct = np.append(curve[2, 1:] != curve[2, :-1], True)  # the last point of each threshold
    expected = np.stack(sk.roc_curve(signal, scores, sample_weight=weight, drop_intermediate=False))
    np.testing.assert_allclose(curve[:, distinct], expected, **TOLERANCE)
    kept = np.flatnonzero(distinct)
    points = kept[np.searchsorted(kept, np.arange(curve.shape[1]))]
    np.testing.assert_array_equal(curve, curve[:, points])  # repeated points equal the point of their threshold


def check_classes(ours: dict, case: dict[str, np.ndarray], weight: np.ndarray, of_nothing: float) -> None:
    truth, answer = case["labels"], case["predicted"]
    known = {"labels": range(CLASSES), "sample_weight": weight}
    matrix = sk.confusion_matrix(truth, answer, **known)
    if case["weight"].dtype == bool:
        assert ours["matrix"].dtype == jnp.int32
        np.testing.assert_array_equal(ours["matrix"], matrix)
    else:
        np.testing.assert_allclose(ours["matrix"], matrix, **TOLERANCE)
    np.testing.assert_allclose(ours["accuracy"], sk.accuracy_score(truth, answer, sample_weight=weight), **TOLERANCE)
    for average in (None, "macro", "micro"):
        expected = sk.precision_recall_fscore_support(truth, answer, average=average, zero_division=of_nothing, **known)
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            np.testing.assert_allclose(ours[f"{name} {average}"], value, **TOLERANCE)


def check_numbers(ours: dict, case: dict[str, np.ndarray], weight: np.ndarray) -> None:
    truth, estimate = case["target"].astype(np.float64), case["estimate"].astype(np.float64)
    mean = {"sample_weight": weight}
    np.testing.assert_allclose(ours["rmse"], sk.root_mean_squared_error(truth, estimate, **mean), rtol=3e-6)
    np.testing.assert_allclose(ours["mae"], sk.mean_absolute_error(truth, estimate, **mean), rtol=3e-6)
    expected = sk.r2_score(truth, estimate, force_finite=False, **mean)
    # 1 - u loses what u has in front of the point.
    np.testing.assert_allclose(ours["r2"], expected, rtol=0, atol=3e-6 * (1 + abs(expected)))
    probability = 1 / (1 + np.exp(-case["scores"].astype(np.float64)))
    expected = sk.log_loss(case["signal"], probability, labels=[False, True], **mean)
    np.testing.assert_allclose(ours["log_loss"], expected, **TOLERANCE)
    if case["signal"].any():
        np.testing.assert_allclose(ours["brier"], sk.brier_score_loss(case["signal"], probability, **mean), **TOLERANCE)


FIRST = [pytest.param(first, marks=[pytest.mark.slow] * (first >= CASES // 5)) for first in range(0, CASES, BLOCK)]


@pytest.mark.parametrize("first", FIRST)
def test_equal_to_sklearn(first):
    for seed in range(first, first + BLOCK):
        case, size = draw_case(seed)
        of_nothing = (0.0, np.nan)[seed % 7 % 2]
        ours = jax.device_get(evaluate(pad(case, size, seed), of_nothing))
        weight = case["weight"].astype(np.float64)
        check_ranking(ours, case, weight)
        check_classes(ours, case, weight, of_nothing)
        check_numbers(ours, case, weight)


def test_cases_reach_the_edges():
    cases = [draw_case(seed)[0] for seed in range(CASES)]
    assert any(not case["signal"].any() for case in cases)
    assert any(case["signal"].all() for case in cases)
    assert any(len(np.unique(case["scores"])) < len(case["scores"]) / 4 for case in cases)
    assert any(set(range(CLASSES)) - set(case["predicted"]) for case in cases)
    assert any(set(case["predicted"]) - set(case["labels"]) for case in cases)
