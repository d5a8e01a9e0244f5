"""What a fit of the microwave sky measured, as JSON."""

from typing import Any

import numpy as np

from jaxsci.fitting import LinearFit
from jaxsci.ops.sphere import real_degrees
from jaxsci.tasks.cmb import peaks, polarization, sky_fit
from jaxsci.tasks.cmb.misfit import cross_notes, error_scale
from jaxsci.tasks.cmb.options import Options
from jaxsci.tasks.cmb.report import Rival


def measured(
    options: Options,
    seen: sky_fit.Sky,
    fitted: LinearFit,
    powers: sky_fit.Spectrum,
    found: list[peaks.Peak],
    rivals: dict[str, Rival],
) -> dict[str, Any]:
    """Coefficients, spectrum, peaks and the comparison of models, as JSON."""
    values = np.asarray(fitted.params["coefficients"])
    scale = error_scale(float(fitted.chi2), float(fitted.dof))
    error = scale * np.sqrt(np.diagonal(np.asarray(fitted.covariance)))
    degree, order = real_degrees(options.lmax)
    shown = np.flatnonzero((degree >= 2) & (degree <= 10))
    return {
        "task": "cmb",
        "model": options.model,
        "nside": seen.nside,
        "sky_fraction": float(seen.keep.mean()),
        "pixels": len(seen.values),
        "lmax": options.lmax,
        "free": options.free,
        "chi2": float(fitted.chi2),
        "dof": float(fitted.dof),
        "noise": options.noise,
        "theory": options.prior,
        "error_scale": scale,  # is in the errors of the coefficients
        "coefficients": [
            {"l": int(degree[i]), "m": int(order[i]), "value": float(values[i]), "error": float(error[i])}
            for i in shown
        ],
        "cross": None if options.cross is None else options.cross.name,
        "cross_notes": cross_notes(seen),
        "spectrum": spectrum_rows(powers),
        "simulations": options.simulations,
        "peaks": [peak._asdict() for peak in found],
        "comparison": {
            name: {"parameters": r.parameters, "test_error": r.test_error, "test_error_error": r.test_error_error}
            for name, r in rivals.items()
        },
    }


def spectrum_rows(powers: sky_fit.Spectrum) -> list[dict[str, float]]:
    """The bins of a spectrum, as JSON."""
    mean = powers.simulated.mean(0)
    return [
        {
            "first": int(a),
            "last": int(b),
            "value": float(v),
            "error": float(e),
            "theory": float(t),
            "simulated_mean": float(s),
        }
        for a, b, v, e, t, s in zip(*powers.bins, powers.value, powers.error, powers.expected, mean, strict=True)
    ]


def of_polarization(polarized: polarization.Polarized | None, spectra: dict[str, sky_fit.Spectrum]) -> dict[str, Any]:
    """What was measured of the polarization, as JSON; empty where there is none."""
    if polarized is None:
        return {}
    rows = {name: spectrum_rows(powers) for name, powers in spectra.items()}
    return {
        "polarization": {"sky_fraction": float(polarized.keep.mean()), "noise": polarized.noise[1], "spectra": rows}
    }
