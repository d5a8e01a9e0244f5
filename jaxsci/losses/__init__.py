"""Losses of one example, their mean over a batch, and penalties J(a) on the weights.

A loss of one example is any function (output, target) -> scalar. Its knobs are keyword-only, may be traced arrays (so
that a sweep can map over them) and are bound by `functools.partial`; `objective` makes of it the function of (params,
batch) that training minimizes:

    loss = objective(model.apply, partial(cross_entropy, label_smoothing=0.1))
    loss = regularized(loss, l2, strength=1e-4)

Outputs in half precision are taken to float32 first: no loss, sum or mean is computed in less.
"""

from jaxsci.losses._examples import (
    absolute_error,
    binary_cross_entropy,
    binary_focal,
    correct,
    cross_entropy,
    focal,
    huber,
    quantile,
    squared_error,
)
from jaxsci.losses._objective import objective, objective_for, regularized, stateful_objective
from jaxsci.losses._penalties import elastic_net, is_weight, l1, l2, weight_mask, weights_of

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "binary_focal",
    "correct",
    "cross_entropy",
    "elastic_net",
    "focal",
    "huber",
    "is_weight",
    "l1",
    "l2",
    "objective",
    "objective_for",
    "quantile",
    "regularized",
    "squared_error",
    "stateful_objective",
    "weight_mask",
    "weights_of",
]
