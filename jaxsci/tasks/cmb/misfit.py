"""Whether a fit describes its data, from chi^2 and its degrees of freedom, and whether two maps have noise of their own."""

from typing import Any

import numpy as np

from jaxsci.tasks.cmb.sky_fit import Sky

SHARED = 0.5  # of the scatter of the difference of two maps with independent noise, below which a page warns
MISFIT = 4.0  # standard deviations of chi^2 from its degrees of freedom, from which a page warns


def error_scale(chi2: float, dof: float) -> float:
    """By what the errors of a fit are multiplied: sqrt(chi^2 / dof) where chi^2 is too large by more than `MISFIT`, else 1.

    Where the residual scatters more than the noise and the prior say, their errors are too small by this factor at least.
    """
    return float(np.sqrt(chi2 / dof)) if deviations(chi2, dof) > MISFIT else 1.0


def deviations(chi2: float, dof: float) -> float:
    """How many of its standard deviations, sqrt(2 dof), chi^2 lies above its degrees of freedom."""
    return float((chi2 - dof) / np.sqrt(2 * dof))


def cross_notes(seen: Sky) -> list[str]:
    """What to know of two maps: which spectra are made of them, and whether their noise seems to be shared; empty for one map."""
    if seen.second is None:
        return []
    notes = ["two maps: no spectra of the polarization are made with --cross, only that of the temperature"]
    scatter, expected = float(np.std(seen.values - seen.second)), float(np.sqrt(2)) * seen.noise
    if scatter < SHARED * expected:
        notes.append(
            f"warning: the two maps differ by {scatter:.3g} μK a pixel, where independent noise of {seen.noise:g} μK in each makes"
            f" {expected:.3g} μK; if they share their noise, it is in the cross spectrum; if not, --noise is too large"
        )
    return notes


def misfit_words(result: dict[str, Any]) -> str:
    """What a χ² that is too large or too small says; empty where it is neither."""
    ratio, away = result["chi2"] / result["dof"], deviations(result["chi2"], result["dof"])
    if away > MISFIT:
        return (
            f"Warning: the fit does not describe this sky. χ² is {ratio:.3g} times its degrees of freedom: the pixels hold what neither the"
            f" prior nor a noise of {result['noise']:g} μK knows, such as the Galaxy outside the mask, sources, or a larger noise. The"
            f" errors of the coefficients are multiplied by {result['error_scale']:.3g}, the square root of that; the coefficients and"
            " the spectrum may be wrong by more, since what was not known need not be random. Give a --mask, or the right --noise."
        )
    if away > -MISFIT:
        return ""
    return (
        f"χ² is {-away:.1f} standard deviations below its degrees of freedom: on scales finer than the fit the sky varies less than the"
        f" prior and the noise say, by about {100 * (1 - ratio):.0f} % in power. The errors of the coefficients count that power as noise"
        f" and are too large by at most {100 * (1 / np.sqrt(ratio) - 1):.0f} % for that reason; they are left as they are."
        " A map that was smoothed more than its pixels are wide, or whose noise is below --noise, has such a χ²."
    )
