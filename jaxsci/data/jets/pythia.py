"""Jets from Pythia 8 and fastjet: boosted top quarks and their QCD background.

The cuts and the matching are those of the top-tagging reference data set (arXiv:1902.09914): proton collisions at 14 TeV,
Pythia's default tune, no multiple interactions, no pile-up; the leading anti-kT jet of radius 0.8 with
550 GeV < pT < 650 GeV and \\|eta\\| < 2; a top jet has a hadronically decaying top quark and its three decay partons within 0.8 of its
axis. A jet is its 200 hardest constituents. Momenta are (E, px, py, pz) in GeV.

Pythia 8 and fastjet are licensed under the GPL; they are imported only when jets are made.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.jets import kinematics
from jaxsci.errors import InputError

__all__ = ["Events", "Jets", "Particles", "generate_events", "require_packages", "sample_jets"]

BEAM_ENERGY = 14_000.0  # GeV, both beams together
RADIUS = 0.8  # of the jet, and of the matching
PT_RANGE = (550.0, 650.0)  # GeV, of the jet
ETA_MAX = 2.0  # of the jet axis
PARTICLE_ETA_MAX = 4.9  # the reach of the ATLAS calorimeters, JINST 3 (2008) S08003
MAX_CONSTITUENTS = 200
PARTICLE_PT_MIN = 0.001  # GeV: Pythia radiates photons down to 1e-13 GeV, which no detector sees
# GeV, of the hard process. A jet gains pT by recoil against radiation, so this lies far below the jets' pT. It costs 5 % of the QCD jets
# that would pass all cuts and 10 % of the top jets (measured down to 200 GeV); 500 GeV would cost 38 % and 29 %, and among QCD jets
# those of larger mass and more constituents.
PT_HAT_MIN = 350.0
# GeV. Events whose leading jet of partons is softer are dropped before hadronization, which saves half of the time. Less than 0.5 % of the
# jets that pass all cuts come from such events, with and without the detector.
PARTON_JET_PT_MIN = 510.0
QCD, TOP = 0, 1  # labels

_EVENTS_PER_BATCH = 50
_NEUTRINOS = (12, 14, 16)
_HARD_PROCESS = {
    QCD: ("HardQCD:all = on",),
    TOP: ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", "24:onMode = off", "24:onIfAny = 1 2 3 4 5"),
}


class Particles(NamedTuple):
    """Particles of many events, one event after another."""

    momenta: np.ndarray  # [particle, 4] float64: E, px, py, pz in GeV
    charge: np.ndarray  # [particle] float64, in units of the positron's charge
    species: np.ndarray  # [particle] int32, PDG code
    counts: np.ndarray  # [event] int64, the number of particles of each event


class Events(NamedTuple):
    """Stable visible particles and, for the signal, the directions that a top jet must contain."""

    particles: Particles
    pt_hat: np.ndarray  # [event] float64: transverse momentum of the hard process in GeV
    tops: np.ndarray | None  # [event, 2, 4, 2] float64: (eta, phi) of a top quark and of its three decay partons
    quarks: np.ndarray | None  # [event, 2, 4] float64: E, px, py, pz in GeV of these top quarks at their decay


class Jets(NamedTuple):
    """Jets of one class, each with the top quark in it."""

    constituents: np.ndarray  # float32 [jet, 200, 4]: (E, px, py, pz) in GeV, hardest (pT) first, padded with zeros
    top: np.ndarray  # float32 [jet, 4]: (E, px, py, pz) in GeV of the top quark at its decay, 0 for QCD


def sample_jets(label: int, n: int, seed: int, *, detector: Callable[[Particles], Particles] | None = None) -> Jets:
    """Generate `n` jets of one class: the same jets for the same arguments.

    Args:
        label: `TOP` or `QCD`.
        n: number of jets.
        seed: Pythia's seed, 1 to 900,000,000.
        detector: what the detector makes of the stable particles of a batch of events; None: a perfect one.

    Raises:
        InputError: pythia8mc, fastjet or awkward is not installed.
    """
    require_packages()
    jets: list[Jets] = []
    found = 0
    for events in generate_events(label, seed):
        seen = events.particles if detector is None else detector(events.particles)
        jets.append(_accepted_jets(seen, events.tops, events.quarks))
        found += len(jets[-1].top)
        if found >= n:
            break
    return Jets(*(np.concatenate(parts)[:n] for parts in zip(*jets, strict=True)))


def require_packages() -> None:
    """Raise InputError with the remedy unless pythia8mc, fastjet and awkward can be imported."""
    for name in ("pythia8mc", "fastjet", "awkward"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"jets: expected the packages pythia8mc, fastjet and awkward, {name} cannot be imported; "
                "install them with: pip install 'jaxsci[hep]'"
            ) from error


def generate_events(label: int, seed: int) -> Iterator[Events]:
    """Yield batches of events without end; batches, because Pythia fills awkward arrays much faster than Python loops do."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for setting in (
        "Print:quiet = on",
        f"Beams:eCM = {BEAM_ENERGY}",
        "PartonLevel:MPI = off",
        f"PhaseSpace:pTHatMin = {PT_HAT_MIN}",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        *_HARD_PROCESS[label],
    ):
        if not pythia.readString(setting):
            raise RuntimeError(f"Pythia refuses the setting {setting!r}")
    veto = _soft_event_veto()
    if not pythia.setUserHooksPtr(veto) or not pythia.init():
        raise RuntimeError("Pythia cannot be initialized")
    while True:
        with _silent_stdout():  # fastjet, inside Pythia too, prints a banner before its first clustering
            batch = pythia.nextBatch(_EVENTS_PER_BATCH)
        record = _flat_record(batch)
        pt_hat = np.sqrt(np.asarray(batch.info.pT2Hat))
        tops, quarks = _tops(record) if label == TOP else (None, None)
        yield Events(_visible(record, pythia.particleData), pt_hat, tops, quarks)


def _soft_event_veto() -> Any:
    """Pythia's hook that drops an event with no hard jet of partons: hadronization costs more than all before it."""
    import pythia8mc

    class SoftEventVeto(pythia8mc.UserHooks):
        def __init__(self) -> None:
            super().__init__()
            self.jets = pythia8mc.SlowJet(-1, RADIUS, PARTON_JET_PT_MIN)  # -1: anti-kT

        def canVetoPartonLevel(self) -> bool:
            return True

        def doVetoPartonLevel(self, event: Any) -> bool:
            self.jets.analyze(event)
            return self.jets.sizeJet() == 0

    return SoftEventVeto()


class _Record(NamedTuple):
    """Pythia's event records, one after another."""

    momenta: np.ndarray  # [entry, 4]
    species: np.ndarray  # [entry]
    status: np.ndarray  # [entry], positive for stable particles
    mother: np.ndarray  # [entry], row of the first mother in these arrays
    event: np.ndarray  # [entry]
    n_events: int


def _flat_record(batch: Any) -> _Record:
    import awkward as ak

    entries = batch.prt
    counts = ak.to_numpy(ak.num(entries.id))

    def flat(column: Any) -> np.ndarray:
        return ak.to_numpy(ak.flatten(column))

    event = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return _Record(
        momenta=np.stack([flat(entries.p[name]) for name in ("e", "px", "py", "pz")], axis=1),
        species=flat(entries.id),
        status=flat(entries.status),
        mother=first[event] + flat(entries.mother1),
        event=event,
        n_events=len(counts),
    )


def _visible(record: _Record, particle_data: Any) -> Particles:
    keep = (record.status > 0) & ~np.isin(np.abs(record.species), _NEUTRINOS)
    keep &= np.abs(kinematics.eta(record.momenta)) < PARTICLE_ETA_MAX
    keep &= kinematics.pt(record.momenta) > PARTICLE_PT_MIN
    species = record.species[keep]
    codes, index = np.unique(species, return_inverse=True)
    charges = np.array([particle_data.charge(int(code)) for code in codes])
    counts = np.bincount(record.event[keep], minlength=record.n_events)
    return Particles(record.momenta[keep], charges[index], species, counts)


def _tops(record: _Record) -> tuple[np.ndarray, np.ndarray]:
    """(eta, phi) of both tops at their decay, of the quark of each and the two of its W [event, 2, 4, 2]; momenta of both tops."""
    parent = record.species[record.mother]
    (quarks,) = np.nonzero((np.abs(record.species) <= 5) & np.isin(np.abs(parent), (6, 24)))
    # Quark of the top first, then those of the W; t and W+ before tbar and W-.
    order = np.lexsort((np.abs(parent[quarks]), -np.sign(parent[quarks]), record.event[quarks]))
    quarks = quarks[order]
    expected = np.tile([6, 24, 24, -6, -24, -24], record.n_events)
    if not np.array_equal(parent[quarks], expected):
        raise RuntimeError("Pythia's record of an event does not hold two hadronically decaying top quarks")
    partons = quarks.reshape(record.n_events, 2, 3)
    momenta = record.momenta[np.concatenate([record.mother[partons[..., :1]], partons], axis=-1)]
    return np.stack([kinematics.eta(momenta), kinematics.phi(momenta)], axis=-1), momenta[:, :, 0]


def _accepted_jets(particles: Particles, tops: np.ndarray | None, quarks: np.ndarray | None) -> Jets:
    """The leading jets that pass the cuts, and for the signal the matching."""
    axis, members = _leading_jets(particles)
    accepted = np.flatnonzero(_passes_cuts(axis, tops))
    jets = np.zeros((len(accepted), MAX_CONSTITUENTS, 4), np.float32)
    for jet, event in zip(jets, accepted, strict=True):
        momenta = particles.momenta[members[event]]
        hardest = np.argsort(-kinematics.pt(momenta), kind="stable")[:MAX_CONSTITUENTS]
        jet[: len(hardest)] = momenta[hardest]
    top = np.zeros((len(accepted), 4), np.float32)
    if tops is not None and quarks is not None:
        top[:] = quarks[accepted, _contained(axis, tops).argmax(axis=1)[accepted]]
    return Jets(jets, top)


def _passes_cuts(axis: np.ndarray, tops: np.ndarray | None) -> np.ndarray:
    """Whether a jet of momentum `axis` [event, 4] passes the cuts and, unless `tops` is None, contains one of the top quarks."""
    pt = kinematics.pt(axis)
    passes = (pt > PT_RANGE[0]) & (pt < PT_RANGE[1]) & (np.abs(kinematics.eta(axis)) < ETA_MAX)
    return passes if tops is None else passes & _contained(axis, tops).any(axis=1)


def _contained(axis: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """Which of both tops a jet of momentum `axis` [event, 4] contains, with all its decay partons: bool [event, 2]."""
    eta, phi = (quantity(axis)[:, None, None] for quantity in (kinematics.eta, kinematics.phi))
    distance = np.hypot(tops[..., 0] - eta, kinematics.wrap(tops[..., 1] - phi))
    return np.asarray((distance < RADIUS).all(axis=2))


def _leading_jets(particles: Particles) -> tuple[np.ndarray, list[np.ndarray]]:
    """Momentum [event, 4] of each event's leading jet and the rows of its constituents; zero and none below the pT cut."""
    import awkward as ak
    import fastjet

    fields = dict(zip(("E", "px", "py", "pz"), particles.momenta.T, strict=True))
    array = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), particles.counts)
    with _silent_stdout():
        sequence = fastjet.ClusterSequence(array, fastjet.JetDefinition(fastjet.antikt_algorithm, RADIUS))
    jets = sequence.inclusive_jets(min_pt=PT_RANGE[0])
    indices = sequence.constituent_index(min_pt=PT_RANGE[0])
    leading = ak.argmax(jets.px**2 + jets.py**2, axis=1, keepdims=True)
    axis = np.zeros((len(particles.counts), 4))
    found = ak.to_numpy(ak.num(jets.px)) > 0
    for column, name in enumerate(("E", "px", "py", "pz")):
        axis[found, column] = ak.to_numpy(ak.flatten(jets[name][leading][found]))
    first = np.cumsum(particles.counts) - particles.counts
    members = [np.empty(0, int)] * len(axis)
    for event in np.flatnonzero(found):
        members[event] = first[event] + ak.to_numpy(indices[event][leading[event][0]])
    return axis, members


@contextlib.contextmanager
def _silent_stdout() -> Iterator[None]:
    """Send what C++ code writes to standard output to nowhere; Python's `redirect_stdout` does not reach it."""
    sys.stdout.flush()
    saved = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)
