"""The options of `jaxsci fit dimuon`: its fields are the options, their docstrings the help."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Mass and width of the Z boson from muon pairs; without --data on 500 collisions of CMS (`jaxsci data fetch collider`)."""

    data: Path | None = None
    """Your muon pairs: .root, .csv or .npz with `M` in GeV, or E1, px1, py1, pz1, E2, ...; `Q1`, `Q2`, `Run`, `Event`, `Type` are used."""
    tree: str | None = None
    """Name of the tree in a ROOT file with several."""
    window: tuple[float, float] = (60.0, 120.0)
    """Range of masses in GeV."""
    radiation: bool = True
    """Let the muons radiate photons, as quantum electrodynamics predicts; the other shape is fitted for comparison."""
    scale: float = 1.0
    """Momentum scale of the detector, by which the masses are divided."""
    scale_error: float = 0.002
    """Its relative error; the default is that of CMS in 2010 (JINST 7, P10002)."""
    simulations: int = 200
    """Simulated samples to fit, which test the errors."""
    seed: int = 1
    """Of the simulated samples."""

    @property
    def unused(self) -> dict[str, str]:
        """Options that have no effect beside the others, by the names of their fields, and with or without what."""
        return {"tree": "without --data"} if self.data is None else {}
