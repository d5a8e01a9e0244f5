"""What the page on the microwave background says of how its numbers were found."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxsci.tasks.cmb.sky_fit import Spectrum

COEFFICIENTS = (
    "Each coefficient is the amplitude of one pattern on the sky. Real orthonormal harmonics without the Condon-Shortley phase, cosines for"
    " m > 0 and sines for m < 0, in Galactic coordinates."
)
PRIOR = {"planck": "the best fit of Planck", "map": "the spectrum of this map itself"}
OF_MAP = (
    " Since the prior has its power from the same pixels, the level of χ² says whether they scatter like a Gaussian sky with noise, not"
    " whether the power is that of the microwave background. The temperature alone is fitted; --theory planck takes the best fit of"
    " Planck as the prior, and adds the polarization and the acoustic peaks."
)
PEAKS = (
    "Around each peak of the best fit a cubic with its maximum at ℓ is fitted to the measured spectrum, multipole by multipole, with"
    " the mean of the errors below and above. The bias is that of the same fit on the best-fit curve."
)
NETWORK = (
    "The same pixels fitted twice, and both tested on the same other pixels, which were used for no choice. The harmonics know the"
    " spectrum of the sky and nothing else; their coefficients are amplitudes of patterns, with errors, and give the power spectrum."
    " The weights of the network are neither."
)


def of_spectrum(result: dict[str, Any]) -> str:
    """How the power spectrum was found, and how well the method does on simulated skies."""
    ratio = [row["simulated_mean"] / row["theory"] - 1 for row in result["spectrum"]]
    return (
        "Pseudo-C_l of the masked map without monopole and dipole; the coupling of degrees by mask, pixels and that removal is computed"
        f" exactly and inverted in bins (MASTER, Hivon et al. 2002, doi:10.1086/338126).{_of_cross(result)} Errors are the scatter of"
        f" simulated skies of {'the best fit' if result['theory'] == 'planck' else 'this spectrum'}, cosmic variance included. Over these"
        f" {result['simulations']} skies the mean of the estimate"
        f" differs from the truth by at most {100 * max(map(abs, ratio)):.1f} %. The fold-back of signal finer than the pixels resolve is"
        " subtracted in the mean."
    )


def _of_cross(result: dict[str, Any]) -> str:
    if result["cross"] is None:
        return ""
    return (
        f" It is the cross spectrum with {result['cross']}: the noise of the two maps is taken as independent, so that it has no part in"
        f" the mean; in the errors it is {result['noise']:g} μK a pixel for both. The coefficients above are those of the first map alone. "
        + " ".join(f"{note[0].upper()}{note[1:]}." for note in result["cross_notes"])
    )


def of_polarization(crossed: Mapping[str, Spectrum], result: dict[str, Any]) -> str:
    """The same of TE, EE and BB."""
    about = result["polarization"]
    off = []
    for powers in crossed.values():
        standard = powers.error * np.sqrt(
            2 / len(powers.simulated)
        )  # of the mean, and of the noise that was subtracted
        off.append(np.abs(powers.simulated.mean(0) - powers.expected) / standard)
    return (
        "Pseudo-spectra of the masked maps of T, Q and U; E and B, which a mask mixes, and degrees are separated in bins. U has"
        f" HEALPix's sign (COSMO). The noise of Q and U is taken as {about['noise']:.1f} μK a pixel and white, their smoothing by pixels"
        f" as that of the temperature. Errors are the scatter of {result['simulations']} simulated skies of the best fit with that noise;"
        " over them the mean of the estimate differs from the truth by"
        f" {np.mean(np.concatenate(off)):.1f} of its standard errors on average (0.8 is expected of chance). What the simulations do not"
        " know stays in the spectra: polarized foregrounds outside the mask, and noise that is not white, which is largest at low ℓ."
    )
