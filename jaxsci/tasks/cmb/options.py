"""The options of `jaxsci fit cmb`: its fields are the options, their docstrings the help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True)
class Options:
    """The microwave sky in spherical harmonics, its spectrum and peaks; without --data that of WMAP (`jaxsci data fetch sphere`)."""

    data: Path | None = None
    """Your HEALPix map: .fits, or .npz with `map` [pixel]."""
    column: Annotated[str | None, arg(metavar="NAME")] = None
    """Column of the FITS table, by its name or its number from 0, whose temperatures alone are fitted; default: the first, with Q and U."""
    cross: Path | None = None
    """Second map of the same sky with noise of its own: the spectrum is the cross spectrum of both, of the temperature alone."""
    mask: Path | None = None
    """Mask of the same nside, 1 where the map is used; default: that of WMAP for its map, none for yours."""
    unit: Literal["uK", "mK", "K"] | None = None
    """Unit of a map that does not say it."""
    polarization: Literal["file", "COSMO", "IAU", "none"] = "file"
    """Sign of U in a map with Q and U: as the file says it (POLCCONV), or this one; none: temperature alone."""
    theory: Literal["planck", "map"] | None = None
    """Prior of the coefficients and of the simulated skies: planck: the best fit of Planck 2018, with TE, EE and BB and the acoustic
    peaks; map: the spectrum of the map itself, which needs no other file; default: map with --data, else planck."""
    noise: float = 6.0
    """Noise of a pixel in μK at nside 32 or the map's, if coarser; the default is that of WMAP's W band, from its polarization."""
    lmax: int = 48
    """Highest degree of the coefficients."""
    free: int = 4
    """Degrees up to this one have no prior."""
    simulations: int = 200
    """Simulated skies, for the errors of the spectrum."""
    model: Literal["harmonics", "dense"] = "harmonics"
    """dense: fit a dense network to the same sky as well, and compare."""
    epochs: int = 300
    """Of the network."""
    seed: int = 1
    """Of the simulated skies, the split of the pixels and the network."""

    @property
    def prior(self) -> Literal["planck", "map"]:
        """The `theory` that is taken, by default too."""
        return self.theory or ("planck" if self.data is None else "map")

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        alone = self.prior == "map" or self.column is not None or self.cross is not None  # the temperature
        silent = self.polarization == "none"  # no note that Q and U are left out
        return {
            **({"polarization": "with --column, --cross or the theory map"} if alone and not silent else {}),
            **({} if self.model == "dense" else {"epochs": "without --model dense"}),
            **({"unit": "without --data"} if self.data is None else {}),
        }
