"""Kinematics of four-momenta (E, px, py, pz) in GeV. Angles are those of a collider: phi around the beam, eta along it.

All functions take momenta [..., 4] of any floating type, compute in float64 and return float64 [...].
"""

import numpy as np

__all__ = [
    "eta",
    "jet_momentum",
    "mass",
    "merge_at_rest",
    "merge_soft",
    "phi",
    "pt",
    "rapidity",
    "trim",
    "wrap",
]

# Keeps the logarithm-like angles of a momentum along the beam finite: far below any real momentum in GeV.
_TINY = 1e-30
_JETS_AT_ONCE = 1000  # bounds the memory
_METRIC = np.array([1.0, -1.0, -1.0, -1.0])


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
    # Several times as fast as a sum along this axis, and without a copy of all constituents in float64.
    return np.einsum("...ci->...i", np.asarray(constituents), dtype=np.float64)


def trim(constituents: np.ndarray) -> np.ndarray:
    """The constituents [jet, constituent, 4] without the columns at the end that are padding (E = 0) in every jet."""
    occupied = np.flatnonzero((constituents[..., 0] > 0).any(axis=0))
    return constituents[:, : occupied[-1] + 1 if occupied.size else 0]


def merge_soft(constituents: np.ndarray, k: int) -> np.ndarray:
    """The k hardest constituents of each jet, each with the momenta of all softer ones that lie nearest to it added.

    Networks of pairs of particles cost k^2. Leaving out the soft constituents would change the mass and the shape of a jet; this keeps its
    momentum exactly, and their number alone is lost. Distances are dR^2 = (y_i - y_j)^2 + (phi_i - phi_j)^2 with the rapidity y, so that
    rotations about the beam and boosts along it change nothing but the frame.

    Args:
        constituents: [jet, constituent, 4], (E, px, py, pz) in GeV, hardest first, padded with zeros.
        k: how many are kept; jets with fewer are padded.

    Returns:
        float64 [jet, k, 4], in the order of the constituents around which they were merged.
    """
    merged = np.zeros((len(constituents), k, 4))
    for first in range(0, len(constituents), _JETS_AT_ONCE):
        rows = slice(first, first + _JETS_AT_ONCE)
        momenta = trim(constituents[rows]).astype(np.float64)
        hard = momenta[:, :k]
        y, azimuth = rapidity(momenta), phi(momenta)
        d_phi = wrap(azimuth[:, k:, None] - azimuth[:, None, :k])
        distance = (y[:, k:, None] - y[:, None, :k]) ** 2 + d_phi**2
        distance = np.where(hard[:, None, :, 0] > 0, distance, np.inf)
        jet = np.arange(len(momenta))[:, None]
        block = merged[rows]
        block[:, : hard.shape[1]] = hard
        if momenta.shape[1] > k:
            np.add.at(block, (jet, distance.argmin(axis=-1)), momenta[:, k:])
    return merged


def merge_at_rest(constituents: np.ndarray, k: int) -> np.ndarray:
    """As `merge_soft`, with energies and angles in the rest frame of the jet: a Lorentz transformation does not change which are merged.

    With the momentum P of the jet and its mass M the energies there are p_i . P / M, and between directions, of massless particles,
    1 - cos(angle) = M^2 p_i . p_j / (p_i . P p_j . P). The decay of a heavy particle looks the same at any speed; in the laboratory
    what it throws backward is soft and would be merged first.

    Args:
        constituents: [jet, constituent, 4], (E, px, py, pz) in GeV, in any order, padded with zeros.
        k: how many are kept; jets with fewer are padded.

    Returns:
        float64 [jet, k, 4], in the order of the energy at rest of the constituents around which they were merged.
    """
    merged = np.zeros((len(constituents), k, 4))
    for first in range(0, len(constituents), _JETS_AT_ONCE):
        momenta = trim(constituents[first : first + _JETS_AT_ONCE]).astype(np.float64)
        energy = np.einsum("jia,ja->ji", momenta * _METRIC, jet_momentum(momenta))  # times the mass of the jet
        energy = np.where(momenta[..., 0] > 0, energy, -np.inf)
        order = np.argsort(-energy, axis=1, kind="stable")
        momenta, energy = (
            np.take_along_axis(momenta, order[..., None], axis=1),
            np.take_along_axis(energy, order, axis=1),
        )
        hard = momenta[:, :k]
        products = np.einsum("jsa,jha->jsh", momenta[:, k:] * _METRIC, hard)
        # Of a soft particle its energy is the same for all that it may join.
        distance = np.where(hard[:, None, :, 0] > 0, products / np.maximum(energy[:, None, :k], _TINY), np.inf)
        block = merged[first : first + _JETS_AT_ONCE]
        block[:, : hard.shape[1]] = hard
        if momenta.shape[1] > k:
            np.add.at(block, (np.arange(len(momenta))[:, None], distance.argmin(axis=-1)), momenta[:, k:])
    return merged
