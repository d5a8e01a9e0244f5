"""Numbers that describe a jet's substructure: mass, multiplicity, spread, energy correlations, prongs.

Constituents are (E, px, py, pz) in GeV, padded with zeros. Azimuths across phi = +-pi are handled, and every angle is a difference, so
nothing depends on where the jet points.
"""

import numpy as np

from jaxsci.data.jets import images as jet_images
from jaxsci.data.jets import kinematics

__all__ = ["NAMES", "nsubjettiness", "observables"]

NAMES = ("mass", "number", "momentum_dispersion", "width", "c2", "d2", "tau21", "tau32")

_TINY = 1e-12
_JETS_AT_ONCE = 500  # bounds the memory of the angles between all pairs
_ROUNDS = 10  # of k-means; the axes rest after five in most jets


def observables(constituents: np.ndarray, *, max_constituents: int = 60) -> dict[str, np.ndarray]:
    """The substructure of each jet as eight numbers, float32 [jet], under the names of `NAMES`:

    - `mass`: in GeV, of all constituents;
    - `number`: of all constituents;
    - `momentum_dispersion`: sqrt(sum z^2), from 0 (many equal ones) to 1 (one alone);
    - `width`: sum z dR, with dR from the pT-weighted centroid;
    - `c2`, `d2`: e_3 / e_2^2 (arXiv:1305.0007) and e_3 / e_2^3 (arXiv:1409.6298), with the energy correlations
      e_2 = sum_{i<j} z_i z_j R_ij and e_3 = sum_{i<j<k} z_i z_j z_k R_ij R_jk R_ik;
    - `tau21`, `tau32`: ratios of `nsubjettiness` for 1, 2 and 3 axes.

    z is the share of the scalar sum of pT. A ratio without a denominator, of a jet of too few constituents, is 0.

    Args:
        constituents: [jet, constituent, 4], hardest first.
        max_constituents: how many of the hardest enter the correlations and the axes; mass and number see all.
    """
    parts = [
        _of_block(constituents[first : first + _JETS_AT_ONCE], max_constituents)
        for first in range(0, len(constituents), _JETS_AT_ONCE)
    ]
    columns = np.concatenate(parts) if parts else np.zeros((0, len(NAMES)), np.float32)
    return dict(zip(NAMES, columns.T, strict=True))


def _of_block(jets: np.ndarray, most: int) -> np.ndarray:
    jets = jets[:, : max(1, kinematics.trim(jets).shape[1])]
    mass = kinematics.mass(kinematics.jet_momentum(jets))
    number = (jets[..., 0] > 0).sum(axis=1)
    hardest = jets[:, :most]
    pt = kinematics.pt(hardest)
    z = pt / np.maximum(pt.sum(axis=1, keepdims=True), _TINY)
    eta, phi = jet_images.center(pt, kinematics.eta(hardest), kinematics.phi(hardest))
    distance = np.hypot(eta[:, :, None] - eta[:, None, :], phi[:, :, None] - phi[:, None, :])
    pairs = z[:, :, None] * distance  # row i is weighted with z_i, so that products of it are sums over constituents
    e2 = np.einsum("nij,nj->n", pairs, z) / 2
    e3 = np.einsum("nij,nji->n", pairs @ pairs, pairs) / 6  # trace of the cube: each triple six times
    tau = [nsubjettiness(z, eta, phi, axes) for axes in (1, 2, 3)]
    columns = (
        mass,
        number,
        np.sqrt((z**2).sum(axis=1)),
        (z * np.hypot(eta, phi)).sum(axis=1),
        _ratio(e3, e2**2),
        _ratio(e3, e2**3),
        _ratio(tau[1], tau[0]),
        _ratio(tau[2], tau[1]),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def nsubjettiness(z: np.ndarray, eta: np.ndarray, phi: np.ndarray, axes: int) -> np.ndarray:
    """tau_N = sum_i z_i min_a dR(i, a), small where a jet has at most N prongs (arXiv:1011.2268); float64 [jet].

    The axes minimize sum z min dR^2 near where they start: on the hardest constituent, then each where z dR^2 from those before it is
    largest (k-means with weights). The source minimizes globally, so values are a little larger here.

    Args:
        z: [jet, constituent], shares of the transverse momentum; 0 pads.
        eta: [jet, constituent], relative to any axis.
        phi: [jet, constituent], likewise, without a jump at pi.
        axes: N, at least 1.
    """
    points = np.stack([eta, phi], axis=-1)
    rows = np.arange(len(z))
    centers = points[rows, z.argmax(axis=1)][:, None]
    for _ in range(axes - 1):
        farthest = (z * _squared(points, centers).min(axis=2)).argmax(axis=1)
        centers = np.concatenate([centers, points[rows, farthest][:, None]], axis=1)
    for _ in range(_ROUNDS):
        nearest = _squared(points, centers).argmin(axis=2)
        shares = z[:, :, None] * (nearest[:, :, None] == np.arange(axes))
        total = shares.sum(axis=1)[:, :, None]
        means = np.swapaxes(shares, 1, 2) @ points / np.maximum(total, _TINY)
        centers = np.where(total > 0, means, centers)
    return (z * np.sqrt(_squared(points, centers).min(axis=2))).sum(axis=1)


def _squared(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared distances [jet, constituent, axis]."""
    return ((points[:, :, None] - centers[:, None]) ** 2).sum(axis=-1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > _TINY, above / np.maximum(below, _TINY), 0.0)
