"""The options of `jaxsci fit earth`: its fields are the options, their docstrings the help."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The relief of the Earth in spherical harmonics; without --data to degree 300 (`jaxsci data fetch sphere`)."""

    data: Path | None = None
    """Your coefficients, 4 pi normalized without Condon-Shortley phase: rows l m C S (.msl, .txt, .csv), or .npz with C and S [l, m]."""
    grid: Path | None = None
    """Heights in km of 180 x 360 cells, north first, from 180 degrees west, to be fitted; default: that of the data set, without --data."""
    unit: str | None = None
    """Unit of your coefficients, for the page; that of the data set is m."""
    lmax: int = 300
    """Highest degree to use; of a file that ends at a lower one, all."""
    grid_lmax: int = 120
    """Highest degree of the fit to the grid."""

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        if self.data is None:
            return {"unit": "without --data"}
        return {"grid_lmax": "without --grid"} if self.grid is None else {}
