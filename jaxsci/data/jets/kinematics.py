"""Kinematics of four-momenta (E, px, py, pz) in GeV. Angles are those of a collider: phi around the beam, eta along it.

All functions take momenta [..., 4] of any floating type, compute in float64 and return float64 [...].
"""

import numpy as np

__all__ = [
    "eta",
    "jet_momentum",
    "mass",
    "phi",
    "pt",
    "rapidity",
    "trim",
    "wrap",
]

# Keeps the logarithm-like angles of a momentum along the beam finite: far below any real momentum in GeV.
_TINY = 1e-30


def pt(momenta: np.ndarray) -> np.ndarray:
    """Transverse momentum sqrt(px^2 + py^2) in GeV."""
    momenta = np.asarray(momenta, np.float64)
    return np.hypot(momenta[..., 1], momenta[..., 2])


def phi(momenta: np.ndarray) -> np.ndarray:
    """Azimuth in (-pi, pi]; 0 for a momentum of zero."""
    momenta = np.asarray(momenta, np.float64)
    return np.arctan2(momenta[..., 2], momenta[..., 1])


def eta(momenta: np.ndarray) -> np.ndarray:
    """Pseudorapidity asinh(pz / pT): exact at large \\|eta\\|, where -ln tan(theta/2) cancels; finite along the beam."""
    momenta = np.asarray(momenta, np.float64)
    return np.arcsinh(momenta[..., 3] / np.maximum(pt(momenta), _TINY))


def rapidity(momenta: np.ndarray) -> np.ndarray:
    """Rapidity asinh(pz / mT), mT^2 = m^2 + pT^2. A boost along the beam shifts it by a constant, whatever the mass."""
    momenta = np.asarray(momenta, np.float64)
    transverse_mass = np.hypot(mass(momenta), pt(momenta))
    return np.arcsinh(momenta[..., 3] / np.maximum(transverse_mass, _TINY))


def mass(momenta: np.ndarray) -> np.ndarray:
    """Invariant mass sqrt((E - p)(E + p)) in GeV; 0 where rounding makes the energy less than the momentum."""
    momenta = np.asarray(momenta, np.float64)
    momentum = np.hypot(pt(momenta), momenta[..., 3])
    return np.sqrt(np.maximum((momenta[..., 0] - momentum) * (momenta[..., 0] + momentum), 0.0))


def wrap(angle: np.ndarray) -> np.ndarray:
    """The same direction as an angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def jet_momentum(constituents: np.ndarray) -> np.ndarray:
    """The sum of the constituents [..., constituent, 4] of each jet: float64 [..., 4]."""
    return np.asarray(constituents).sum(axis=-2, dtype=np.float64)


def trim(constituents: np.ndarray) -> np.ndarray:
    """The constituents [jet, constituent, 4] without the columns at the end that are padding (E = 0) in every jet."""
    occupied = np.flatnonzero((constituents[..., 0] > 0).any(axis=0))
    return constituents[:, : occupied[-1] + 1 if occupied.size else 0]
