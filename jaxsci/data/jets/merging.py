"""Jets of fewer particles and the same momentum: soft constituents join hard ones."""

import numpy as np

from jaxsci.data.jets import kinematics

__all__ = ["merge_soft"]

_JETS_AT_ONCE = 1000  # bounds the memory


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
        momenta = kinematics.trim(constituents[rows]).astype(np.float64)
        hard = momenta[:, :k]
        y, phi = kinematics.rapidity(momenta), kinematics.phi(momenta)
        d_phi = kinematics.wrap(phi[:, k:, None] - phi[:, None, :k])
        distance = (y[:, k:, None] - y[:, None, :k]) ** 2 + d_phi**2
        distance = np.where(hard[:, None, :, 0] > 0, distance, np.inf)
        jet = np.arange(len(momenta))[:, None]
        block = merged[rows]
        block[:, : hard.shape[1]] = hard
        if momenta.shape[1] > k:
            np.add.at(block, (jet, distance.argmin(axis=-1)), momenta[:, k:])
    return merged
