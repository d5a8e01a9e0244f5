"""What the gradients of single examples say, for any loss that is a mean over a batch, as training takes it.

Every function is pure and closed under `jit`, `vmap` and `scan`, and fast under `jit`. The gradient g_b of example b is that of the loss of
a batch which holds it alone; that of the whole batch is sum_b w_b g_b / sum_b w_b. An example of weight 0 has the gradient 0. Norms, sums
and moments of these gradients come from one forward and one backward pass, without storing them.

Curvature is an `Operator`, a linear map of parameter trees over a whole data set; eigenvalues, traces, spectra and solutions are
functions of any operator. What comes from random vectors is an `Estimate`: a value with its error.
"""

from jaxsci.gradients._capture import explain
from jaxsci.gradients._clipping import clipped_sum
from jaxsci.gradients._curvature.estimates import diagonal, spectral_density, trace
from jaxsci.gradients._curvature.krylov import Estimate, solve, top_eigenpairs
from jaxsci.gradients._curvature.laplace import laplace
from jaxsci.gradients._curvature.operators import Operator, fisher, gauss_newton, hessian
from jaxsci.gradients._curvature.posterior import Laplace
from jaxsci.gradients._examples import per_example_gradients
from jaxsci.gradients._influence import datamodeling_score, influence
from jaxsci.gradients._kronecker import Kronecker, kfac
from jaxsci.gradients._moments import moments, noise_scale
from jaxsci.gradients._norms import inner_products, squared_norms
from jaxsci.gradients._tangent import landscape, tangent_kernel

__all__ = [
    "Estimate",
    "Kronecker",
    "Laplace",
    "Operator",
    "clipped_sum",
    "datamodeling_score",
    "diagonal",
    "explain",
    "fisher",
    "gauss_newton",
    "hessian",
    "influence",
    "inner_products",
    "kfac",
    "landscape",
    "laplace",
    "moments",
    "noise_scale",
    "per_example_gradients",
    "solve",
    "spectral_density",
    "squared_norms",
    "tangent_kernel",
    "top_eigenpairs",
    "trace",
]
