"""A fast detector: what ATLAS would make of the particles of an event, by parametrization.

Charged particles bend in the solenoid and leave tracks; all particles but muons leave their energy in the cells of an electromagnetic or a
hadronic calorimeter; particle flow then subtracts from each cell the energy of the tracks that point to it, so that charged energy
is not counted twice. What comes out, and is clustered into jets, are tracks and the neutral excess of cells.

The numbers, unless another source stands beside one, are those of the default ATLAS card of Delphes 3
(`cards/delphes_card_ATLAS.tcl` of github.com/delphes/delphes, 2017; arXiv:1307.6346), which takes the resolutions of the calorimeters
from ATLAS's beam tests (JINST 3 (2008) S08003, arXiv:physics/0608012, arXiv:hep-ex/0004009).
A mixture of as many top as QCD jets has 53 constituents a jet (61 and 46; particles: 68), the reference data set 49.2.
Left out: decays in flight, showers wider than a cell, noise without a particle, pile-up, the material before the calorimeters.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.jets import kinematics
from jaxsci.data.jets.pythia import Particles

__all__ = ["settings", "simulate", "track_efficiency", "track_resolution"]

FIELD = 2.0  # tesla, along the beam
RADIUS = 1.15  # m, of the field
HALF_LENGTH = 3.51  # m, of the field
TRACK_ETA_MAX = 2.5
TRACK_PT_MIN = 0.5  # GeV: of ATLAS's default track reconstruction (CERN Document Server 2718583); 0.1 in the card
SIGNIFICANCE_MIN = 2.0  # standard deviations of energy that make a cell, or the excess over its tracks, count

ELECTRON, MUON, PHOTON, NEUTRAL_KAON = 11, 13, 22, 130  # PDG codes; a hadronic cell is given the last one
_ELECTRON_MASS, _MUON_MASS, _PION_MASS = 0.00051099895, 0.1056583755, 0.13957039  # GeV, Particle Data Group 2024
_CURVATURE = 0.299792458  # GeV/(T m): a unit charge of transverse momentum pT turns with the radius pT / (0.2998 B)


class _Calorimeter(NamedTuple):
    eta_edges: np.ndarray  # [ring + 1]
    cells_round: np.ndarray  # [ring] number of cells in azimuth
    energy_min: float  # GeV, of a cell
    resolution: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (eta, energy) -> standard deviation, GeV
    species: int  # PDG code given to the neutral excess of a cell


def simulate(particles: Particles, rng: np.random.Generator) -> Particles:
    """Tracks and neutral cells that the particles of each event leave.

    Args:
        particles: stable visible particles; their order within an event changes what the random numbers do, not the distributions.
        rng: the source of every random number.

    Returns:
        As many events; tracks with the charge and code of their particle (and the mass of the pion, unless an electron's or a
        muon's), cells without mass, charge 0 and the code of the photon or, for the hadronic calorimeter, of the neutral kaon.
    """
    event = np.repeat(np.arange(len(particles.counts)), particles.counts)
    kind = np.abs(particles.species)
    eta, phi = _impact(particles)
    tracks = _tracks(particles, rng)
    electromagnetic = (kind == ELECTRON) | (kind == PHOTON)
    pt = tracks.pt.copy()
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for calorimeter, mask in ((_ECAL, electromagnetic), (_HCAL, ~electromagnetic & (kind != MUON))):
        seen = np.flatnonzero(mask & (np.abs(eta) < calorimeter.eta_edges[-1]))
        hits = _Hits(event, eta, phi, particles.momenta[:, 0], tracks.energy, tracks.error)
        flow = _energy_flow(calorimeter, _Hits(*(column[seen] for column in hits)), rng)
        pt[seen] *= flow.track_scale
        species = np.full(len(flow.event), calorimeter.species, np.int32)
        pieces.append((flow.event, flow.momenta, np.zeros(len(flow.event)), species))
    (found,) = np.nonzero(pt > 0)
    pieces.append(
        (event[found], _track_momenta(particles, pt)[found], particles.charge[found], particles.species[found])
    )
    events, momenta, charge, species = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    order = np.argsort(events, kind="stable")
    counts = np.bincount(events, minlength=len(particles.counts))
    return Particles(momenta[order], charge[order], species[order], counts)


def settings() -> dict[str, Any]:
    """The parameters of the detector that a file of jets names; the rest is in the card named with them."""
    return {
        "detector_card": "Delphes 3, delphes_card_ATLAS.tcl",
        "detector_field_T": FIELD,
        "detector_track_pt_min_GeV": TRACK_PT_MIN,
        "detector_track_abs_eta_max": TRACK_ETA_MAX,
        "detector_ecal_cell_min_GeV": _ECAL.energy_min,
        "detector_hcal_cell_min_GeV": _HCAL.energy_min,
        "detector_cell_significance_min": SIGNIFICANCE_MIN,
    }


def track_efficiency(kind: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Probability that a charged particle leaves a track: `kind` is its absolute PDG code, pT in GeV."""
    barrel, endcap = np.abs(eta) <= 1.5, (np.abs(eta) > 1.5) & (np.abs(eta) <= TRACK_ETA_MAX)
    # [barrel, endcap] below 1 GeV, up to 100 GeV, above
    hadron = np.select([pt <= 1], [_by_region(barrel, endcap, 0.70, 0.60)], _by_region(barrel, endcap, 0.95, 0.85))
    electron = np.select(
        [pt <= 1, pt <= 100],
        [_by_region(barrel, endcap, 0.73, 0.50), _by_region(barrel, endcap, 0.95, 0.83)],
        _by_region(barrel, endcap, 0.99, 0.90),
    )
    muon = np.select([pt <= 1], [_by_region(barrel, endcap, 0.75, 0.70)], _by_region(barrel, endcap, 0.99, 0.98))
    efficiency = np.select([kind == ELECTRON, kind == MUON], [electron, muon], hadron)
    return np.where(pt > TRACK_PT_MIN, efficiency, 0.0)


def _by_region(barrel: np.ndarray, endcap: np.ndarray, in_barrel: float, in_endcap: float) -> np.ndarray:
    return np.select([barrel, endcap], [in_barrel, in_endcap], 0.0)


def track_resolution(kind: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Relative standard deviation of the pT of a track: sqrt(a^2 + (b pT)^2), pT in GeV."""
    regions = [np.abs(eta) <= 0.5, np.abs(eta) <= 1.5]
    muon = kind == MUON
    constant = np.select(
        [kind == ELECTRON, muon],
        [np.select(regions, [0.03, 0.05], 0.15), np.select(regions, [0.01, 0.015], 0.025)],
        np.select(regions, [0.06, 0.10], 0.25),
    )
    slope = np.where(muon, np.select(regions, [1.0e-4, 1.5e-4], 3.5e-4), np.select(regions, [1.3e-3, 1.7e-3], 3.1e-3))
    return np.hypot(constant, slope * pt)


class _Tracks(NamedTuple):
    """Measured tracks, an entry for every particle; 0 where there is none."""

    pt: np.ndarray
    energy: np.ndarray
    error: np.ndarray  # standard deviation of the energy


def _tracks(particles: Particles, rng: np.random.Generator) -> _Tracks:
    kind = np.abs(particles.species)
    pt, eta = kinematics.pt(particles.momenta), kinematics.eta(particles.momenta)
    probability = np.where(particles.charge != 0, track_efficiency(kind, pt, eta), 0.0)
    resolution = track_resolution(kind, pt, eta)
    measured = np.where(rng.random(len(pt)) < probability, _log_normal(pt, resolution * pt, rng), 0.0)
    energy = np.where(measured > 0, _track_momenta(particles, measured)[:, 0], 0.0)
    return _Tracks(measured, energy, resolution * energy)


def _track_momenta(particles: Particles, pt: np.ndarray) -> np.ndarray:
    """(E, px, py, pz) of tracks along the particles' directions."""
    kind = np.abs(particles.species)
    eta, phi = kinematics.eta(particles.momenta), kinematics.phi(particles.momenta)
    mass = np.select([kind == ELECTRON, kind == MUON], [_ELECTRON_MASS, _MUON_MASS], _PION_MASS)
    energy = np.hypot(pt * np.cosh(eta), mass)
    return np.stack([energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)


def _impact(particles: Particles) -> tuple[np.ndarray, np.ndarray]:
    """(eta, phi) of the point where each particle, coming from the origin on a helix, leaves the field."""
    pt, eta, phi = (quantity(particles.momenta) for quantity in (kinematics.pt, kinematics.eta, kinematics.phi))
    charged = particles.charge != 0
    radius = pt / (_CURVATURE * FIELD * np.maximum(np.abs(particles.charge), 1))  # m, of the helix
    # Half the angle turned until the barrel; a helix too narrow to reach it ends at the end-cap, perhaps after many turns.
    sine = RADIUS / (2 * radius)
    to_barrel = np.where(sine < 1, np.arcsin(np.minimum(sine, 1)), np.inf)
    slope = np.maximum(np.abs(np.sinh(eta)), 1e-12)
    half_turn = np.minimum(to_barrel, HALF_LENGTH / (2 * radius * slope))
    distance = np.maximum(2 * radius * np.abs(np.sin(half_turn)), 1e-12)
    height = 2 * radius * half_turn * np.sinh(eta)
    # A positive charge turns clockwise in a field along +z. Past half a turn the chord points backwards.
    turned = phi - np.sign(particles.charge) * half_turn + np.where(np.sin(half_turn) < 0, np.pi, 0.0)
    return np.where(charged, np.arcsinh(height / distance), eta), np.where(charged, turned, phi)


class _Hits(NamedTuple):
    """Particles that hit a calorimeter: [particle] each."""

    event: np.ndarray
    eta: np.ndarray  # of the point of impact
    phi: np.ndarray
    energy: np.ndarray  # GeV, that it leaves
    track_energy: np.ndarray  # GeV, measured; 0 without a track
    track_error: np.ndarray  # standard deviation of the track's energy


class _Flow(NamedTuple):
    event: np.ndarray  # [cell] of the neutral excess
    momenta: np.ndarray  # [cell, 4]
    track_scale: np.ndarray  # [particle] what to multiply the momentum of its track by


def _energy_flow(calorimeter: _Calorimeter, hits: _Hits, rng: np.random.Generator) -> _Flow:
    """Measure the energy in the cells and share it between the tracks and a neutral excess.

    A cell with significantly more energy than its tracks gives the difference as a neutral particle. In any other cell calorimeter and
    tracks measure the same energy: the tracks are scaled to the mean of the two weighted by 1/variance.
    """
    rings, most = len(calorimeter.cells_round), int(calorimeter.cells_round.max())
    ring = np.searchsorted(calorimeter.eta_edges, hits.eta, side="right") - 1
    around = calorimeter.cells_round[ring]
    # The remainder of a tiny negative angle rounds to a whole turn, one beyond the last sector.
    sector = np.minimum(np.floor(hits.phi / (2 * np.pi) % 1.0 * around).astype(np.int64), around - 1)
    keys, cell = np.unique((hits.event * rings + ring) * most + sector, return_inverse=True)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, values, minlength=len(keys))

    ring, sector = keys // most % rings, keys % most
    low, high = calorimeter.eta_edges[ring], calorimeter.eta_edges[ring + 1]
    center = (low + high) / 2
    deposit, tracked, tracked_variance = (
        total(hits.energy),
        total(hits.track_energy),
        total(hits.track_error**2),
    )
    measured = _log_normal(deposit, calorimeter.resolution(center, deposit), rng)
    error = calorimeter.resolution(center, measured)
    measured[(measured < calorimeter.energy_min) | (measured < SIGNIFICANCE_MIN * error)] = 0.0
    excess = measured - tracked
    neutral = (excess > calorimeter.energy_min) & (excess > SIGNIFICANCE_MIN * np.sqrt(tracked_variance + error**2))
    scale = np.ones(len(keys))
    both = ~neutral & (measured > 0) & (tracked > 0)
    mean = (error**2 * tracked + tracked_variance * measured)[both] / (error**2 + tracked_variance)[both]
    scale[both] = mean / tracked[both]
    # Anywhere in the cell: its center would leave a comb in the images.
    eta = rng.uniform(low, high)
    phi = 2 * np.pi * (sector + rng.random(len(keys))) / calorimeter.cells_round[ring]
    pt = excess / np.cosh(eta)
    momenta = np.stack([excess, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    return _Flow((keys // (rings * most))[neutral], momenta[neutral], scale[cell])


def _log_normal(mean: np.ndarray, deviation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws that are never negative, with this mean and standard deviation; 0 where the mean is 0."""
    safe = np.where(mean > 0, mean, 1.0)
    width = np.sqrt(np.log1p((deviation / safe) ** 2))
    return np.where(mean > 0, safe * np.exp(width * rng.standard_normal(len(safe)) - width**2 / 2), 0.0)


def _resolution(eta_max: tuple[float, ...], terms: tuple[tuple[float, float, float], ...]) -> Callable[..., np.ndarray]:
    """sqrt((constant E)^2 + (stochastic sqrt(E))^2 + noise^2), in GeV, by regions of \\|eta\\|."""

    def resolution(eta: np.ndarray, energy: np.ndarray) -> np.ndarray:
        constant, stochastic, noise = np.array(terms)[np.searchsorted(eta_max, np.abs(eta))].T
        return np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2)

    return resolution


def _rings(edges: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same rings on both sides of eta = 0."""
    return np.concatenate([-edges[:0:-1], edges]), np.concatenate([cells[::-1], cells])


def _ecal() -> _Calorimeter:
    fine = 0.0174 * np.arange(171)  # up to 2.958, cells of 1 degree; then 10 degrees
    coarse = [3.125, 3.3, 3.475, 3.65, 3.825, 4.0, 4.175, 4.35, 4.525, 4.7, 4.9]
    edges, cells = _rings(np.append(fine, coarse), np.repeat([360, 36], [len(fine) - 1, len(coarse)]))
    resolution = _resolution((3.2,), ((0.0017, 0.101, 0.0), (0.0350, 0.285, 0.0)))
    return _Calorimeter(edges, cells, 0.5, resolution, PHOTON)


def _hcal() -> _Calorimeter:
    fine = 0.1 * np.arange(27)  # up to 2.6, cells of 10 degrees; then 20 degrees
    coarse = [2.8, 3.0, 3.3, 3.5, 3.7, 3.9, 4.1, 4.3, 4.5, 4.7, 4.9]
    edges, cells = _rings(np.append(fine, coarse), np.repeat([36, 18], [len(fine) - 1, len(coarse)]))
    resolution = _resolution((1.7, 3.2), ((0.0302, 0.5205, 1.59), (0.0500, 0.706, 0.0), (0.09420, 1.00, 0.0)))
    return _Calorimeter(edges, cells, 1.0, resolution, NEUTRAL_KAON)


_ECAL, _HCAL = _ecal(), _hcal()
