"""Whether a fit describes its data, from chi^2 and its degrees of freedom."""

import numpy as np

MISFIT = 4.0  # standard deviations of chi^2 from its degrees of freedom, from which a page warns


def error_scale(chi2: float, dof: float) -> float:
    """By what the errors of a fit are multiplied: sqrt(chi^2 / dof) where chi^2 is too large by more than `MISFIT`, else 1.

    Where the residual scatters more than the noise and the prior say, their errors are too small by this factor at least.
    """
    return float(np.sqrt(chi2 / dof)) if deviations(chi2, dof) > MISFIT else 1.0


def deviations(chi2: float, dof: float) -> float:
    """How many of its standard deviations, sqrt(2 dof), chi^2 lies above its degrees of freedom."""
    return float((chi2 - dof) / np.sqrt(2 * dof))
