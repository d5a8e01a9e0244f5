"""Metrics on the device: pure functions of arrays that `jax.jit` and `jax.vmap` transform, exact under padding and ties.

How well a score separates signal from background is asked with the same three arrays throughout:

- scores [example], floating: larger means more like signal. +-infinity are ordinary scores, -0 equals 0.
- labels [example]: 1 (or True) for signal, 0 for background.
- weight [example]: none or a boolean mask gives counts, exact integers; real weights >= 0 give float sums.

Results have the dtype of the scores, at least float32. For a NaN score, a label that is neither 0 nor 1, and a negative or NaN weight
every result is NaN, unless the weight of that example is 0, in which case nothing of it counts. scikit-learn raises on NaN; inside a
compiled function nothing can be raised.
"""

from jaxsci.metrics._calibration import (
    CalibrationCurve,
    brier_score,
    calibration_curve,
    expected_calibration_error,
    log_loss,
)
from jaxsci.metrics._classification import (
    accuracy,
    confusion_matrix,
    f1,
    precision,
    predicted_class,
    predicted_label,
    recall,
)
from jaxsci.metrics._intervals import (
    Interval,
    auc_covariance,
    auc_interval,
    binomial_interval,
    bootstrap,
    rejection_interval,
    resample,
)
from jaxsci.metrics._ranking import (
    RocCurve,
    WorkingPoint,
    auc,
    average_precision,
    background_rejection,
    placements,
    roc_curve,
    working_point,
)
from jaxsci.metrics._regression import mae, r2, rmse

__all__ = [
    "CalibrationCurve",
    "Interval",
    "RocCurve",
    "WorkingPoint",
    "accuracy",
    "auc",
    "auc_covariance",
    "auc_interval",
    "average_precision",
    "background_rejection",
    "binomial_interval",
    "bootstrap",
    "brier_score",
    "calibration_curve",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "log_loss",
    "mae",
    "placements",
    "precision",
    "predicted_class",
    "predicted_label",
    "r2",
    "recall",
    "rejection_interval",
    "resample",
    "rmse",
    "roc_curve",
    "working_point",
]
