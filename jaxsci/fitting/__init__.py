"""Fitting with error bars: linear least squares, and maximum likelihood of parametric shapes. Every fit is a pure function."""

from jaxsci.fitting._iterative import CGOptions, IterativeFit, conjugate_gradients, draw_errors, require_converged
from jaxsci.fitting._likelihood import LikelihoodFit, gaussian, log_density, minimize, poisson, require_minimum, total
from jaxsci.fitting._linear import LinearFit, least_squares, predictions, require_determined
from jaxsci.fitting._logistic import logistic_regression
from jaxsci.fitting._minimizers import lbfgs, newton
from jaxsci.fitting._parameters import errors, names
from jaxsci.fitting._profile import Profile, intervals, profiles, signed_roots

__all__ = [
    "CGOptions",
    "IterativeFit",
    "LikelihoodFit",
    "LinearFit",
    "Profile",
    "conjugate_gradients",
    "draw_errors",
    "errors",
    "gaussian",
    "intervals",
    "lbfgs",
    "least_squares",
    "log_density",
    "logistic_regression",
    "minimize",
    "names",
    "newton",
    "poisson",
    "predictions",
    "profiles",
    "require_converged",
    "require_determined",
    "require_minimum",
    "signed_roots",
    "total",
]
