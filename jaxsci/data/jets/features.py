"""Inputs of set and dense networks: numbers for each constituent of a jet.

Constituents are (E, px, py, pz) in GeV, hardest first, padded with zeros; all outputs are float32, and padding is exactly 0. Angles
are taken relative to the jet and azimuths across phi = +-pi are handled, so nothing depends on the azimuth of the jet.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from jaxsci.data.jets import images as jet_images
from jaxsci.data.jets import kinematics

__all__ = ["efn_inputs", "features", "pfn_inputs", "topodnn_inputs"]

FEATURES = ("d_eta", "d_phi", "log_pt", "log_e", "log_pt_fraction", "log_e_fraction", "d_r")

# (value - shift) * scale brings each feature to order 1. Shifts and scales of the logarithms and of the distance are those that
# the Particle Transformer uses for the reference top-tagging data set (github.com/jet-universe/particle_transformer,
# data/TopLandscape/top_kin.yaml), as is the limit. The two angles get the scale of the distance, the same for both, so that
# (d_eta, d_phi) can still be rotated. On simulated jets (`jaxsci.data.jets.pythia`) the means lie within 0.5 of 0, the
# standard deviations between 0.8 and 1.2.
_SHIFT = np.array([0.0, 0.0, 1.7, 2.0, -4.7, -4.7, 0.2])
_SCALE = np.array([4.0, 4.0, 0.7, 0.7, 0.7, 0.7, 4.0])
_LIMIT = 5.0  # of a standardized feature; in ln pT it counts a constituent below 4 MeV as one of 4 MeV

_TINY = 1e-30  # GeV, below any real momentum: keeps logarithms and fractions finite
_JETS_AT_ONCE = 1000  # bounds the memory

# (constituents of some jets, k) -> elements and weights of their k hardest, or of all where they have fewer
_Inputs: TypeAlias = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def features(constituents: np.ndarray, *, max_constituents: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Seven standardized features of each constituent, those of ParticleNet (arXiv:1902.08570), in the order of `FEATURES`:

    - `d_eta`, `d_phi`: pseudorapidity and azimuth less rapidity and azimuth of the jet;
    - `log_pt`, `log_e`: ln(pT / GeV), ln(E / GeV);
    - `log_pt_fraction`, `log_e_fraction`: ln(pT / pT of the jet), ln(E / E of the jet);
    - `d_r`: sqrt(d_eta^2 + d_phi^2).

    The jet is the sum of all its constituents, also of those beyond `max_constituents`. Its rapidity, not its pseudorapidity, gives the
    axis: then a boost along the beam leaves the angles of massless constituents as they are, however heavy the jet.

    Args:
        constituents: [jet, constituent, 4].
        max_constituents: k, how many of the hardest are kept; jets with fewer are padded.

    Returns:
        Elements [jet, k, 7] and weights [jet, k]: 1 for a constituent, 0 for padding.
    """
    return _by_blocks(_features, constituents, max_constituents, len(FEATURES))


def pfn_inputs(constituents: np.ndarray, *, max_constituents: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of a Particle Flow Network (arXiv:1810.05165): elements (z, eta, phi) [jet, k, 3], weights 1 and 0 [jet, k].

    z is the constituent's share of the jet's scalar sum of pT; eta and phi are relative to the pT-weighted centroid.
    """
    return _by_blocks(_pfn, constituents, max_constituents, 3)


def efn_inputs(constituents: np.ndarray, *, max_constituents: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of an Energy Flow Network (arXiv:1810.05165): elements (eta, phi) [jet, k, 2], weights z [jet, k]; as in `pfn_inputs`.

    A sum over elements weighted with z is safe against soft and collinear splittings.
    """
    return _by_blocks(_efn, constituents, max_constituents, 2)


def topodnn_inputs(constituents: np.ndarray, *, max_constituents: int = 30) -> np.ndarray:
    """Inputs of a dense network on the k hardest constituents after arXiv:1704.02124: (z, x, y) of each in turn, [jet, 3 k].

    z is the share of the jet's scalar sum of pT, and x, y are the angles centered, rotated and flipped as for jet images.
    """
    elements, _ = _by_blocks(_topodnn, constituents, max_constituents, 3)
    return elements.reshape(len(elements), -1)


def _by_blocks(inputs: _Inputs, constituents: np.ndarray, k: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Run `inputs` over blocks of jets: elements float32 [jet, k, width], 0 where padded, and weights float32 [jet, k]."""
    elements = np.zeros((len(constituents), k, width), np.float32)
    weights = np.zeros((len(constituents), k), np.float32)
    for start in range(0, len(constituents), _JETS_AT_ONCE):
        rows = slice(start, start + _JETS_AT_ONCE)
        block, weight = inputs(kinematics.trim(constituents[rows]), k)
        kept = weight.shape[1]
        elements[rows, :kept] = block
        weights[rows, :kept] = weight
    return elements, weights


def _features(jets: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    hardest = np.ascontiguousarray(jets[:, :k])
    present = (hardest[..., 1] != 0) | (hardest[..., 2] != 0)
    places = np.flatnonzero(present)  # without the padding, a third of the numbers and more
    momenta = hardest.reshape(-1, 4).take(places, axis=0).astype(np.float64)
    columns = _columns(momenta, kinematics.jet_momentum(jets), np.count_nonzero(present, axis=1))
    standardized = np.empty((len(momenta), len(FEATURES)), np.float32)
    for i, column in enumerate(columns):
        standardized[:, i] = np.clip((column - _SHIFT[i]) * _SCALE[i], -_LIMIT, _LIMIT)
    elements = np.zeros((present.size, len(FEATURES)), np.float32)
    elements[places] = standardized
    return elements.reshape(*present.shape, len(FEATURES)), present


def _columns(momenta: np.ndarray, axis: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """The features of constituents [constituent, 4], the first `counts[0]` of them in the jet with the momentum axis[0], and so on.

    They do not depend on the azimuth of the jet. Of a jet whose transverse momenta add up to exactly 0, which has none, `d_phi` is 0 or
    pi, by the signs of zeros.
    """
    pt = np.sqrt(momenta[:, 1] ** 2 + momenta[:, 2] ** 2)
    log_pt, log_e = np.log(pt), np.log(np.maximum(momenta[:, 0], _TINY))
    d_eta = np.arcsinh(momenta[:, 3] / pt) - np.repeat(kinematics.rapidity(axis), counts)
    x, y = (np.repeat(axis[:, i], counts) for i in (1, 2))
    # The angle between the two, which needs no care across phi = +-pi.
    d_phi = np.arctan2(momenta[:, 2] * x - momenta[:, 1] * y, momenta[:, 1] * x + momenta[:, 2] * y)
    log_pt_fraction = log_pt - np.repeat(np.log(np.maximum(kinematics.pt(axis), _TINY)), counts)
    log_e_fraction = log_e - np.repeat(np.log(np.maximum(axis[:, 0], _TINY)), counts)
    return d_eta, d_phi, log_pt, log_e, log_pt_fraction, log_e_fraction, np.sqrt(d_eta**2 + d_phi**2)


def _pfn(jets: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    pt = kinematics.pt(jets)
    x, y = jet_images.center(pt, kinematics.eta(jets), kinematics.phi(jets))
    return _shares_and_angles(pt, x, y, k)


def _efn(jets: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    elements, _ = _pfn(jets, k)
    return elements[..., 1:], elements[..., 0]


def _topodnn(jets: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return _shares_and_angles(*jet_images.align(jets), k)


def _shares_and_angles(pt: np.ndarray, x: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    present = pt[:, :k] > 0
    shares = pt / np.maximum(pt.sum(axis=1, keepdims=True), _TINY)
    return np.where(present[..., None], np.stack([shares, x, y], axis=-1)[:, :k], 0), present
