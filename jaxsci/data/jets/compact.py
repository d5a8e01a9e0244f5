"""A small file for many jets: quantized, ragged, compressed HDF5.

A constituent costs about 5 bytes instead of 16. For each jet: the label, the number of constituents and the direction of the jet axis; for
each constituent, hardest first:

- `log_pt`, uint16: ln(pT / GeV) in equal steps over the range of the file, coded as the fall from the constituent before it, which is
  small and compresses well. For pT from 1 MeV to 1 TeV the step is 2.1e-4, so pT is exact to 1.1e-4 (relative).
- `rapidity`, `phi`, int16: offsets from the jet axis in equal steps over the range of the file. For jets of radius 0.8 (offsets
  below 1) the step is 3.1e-5, so both are exact to 1.6e-5.
- `species`, uint8: the index in `MASSES` of the particle whose mass, with the momentum, gives the energy most nearly.

The mass of a jet changes by 2e-5 (relative, root mean square of the jets above 20 GeV in the sample that the package carries), its pT
by as little. Constituents come back sorted by pT.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxsci.data.jets import kinematics
from jaxsci.data.reading import reading, require_memory
from jaxsci.errors import InputError
from jaxsci.files import replacing

__all__ = ["Stored", "decoded", "read", "stored", "write"]

FORMAT = "jaxsci compact jets"
VERSION = 1
# GeV: photon, electron, muon, charged pion, charged kaon, neutral kaon, proton, neutron (Particle Data Group 2024). Others do not
# live long enough to be seen; calorimeter cells are massless, tracks are given the mass of the pion.
MASSES = (0.0, 0.00051099895, 0.1056583755, 0.13957039, 0.493677, 0.497611, 0.93827209, 0.93956542)

_WIDTH_MAX = 255  # counts are uint8
_ROWS = 1000  # jets worked on at once: bounds the memory
_DATASETS = {
    "labels": "u1",
    "counts": "u1",
    "axis": "f4",
    "log_pt": "u2",
    "rapidity": "i2",
    "phi": "i2",
    "species": "u1",
    "masses": "f8",
}


def write(path: str | Path, constituents: np.ndarray, labels: np.ndarray, attributes: Mapping[str, Any]) -> None:
    """Write jets to `path`, whole or not at all.

    Args:
        path: an HDF5 file, replaced if it exists.
        constituents: [n, k <= 255, 4], (E, px, py, pz) in GeV; a constituent with E = 0 is padding.
        labels: [n], whole numbers 0 to 255.
        attributes: kept as the attributes of the file's root: numbers, strings and booleans.

    Raises:
        InputError: the arrays do not have these shapes, or a constituent has a momentum that is not finite, along the beam or
            an energy below 0.
        OSError: the file cannot be written.
    """
    import h5py

    _check_jets(path, constituents, labels)
    width = constituents.shape[1]
    log_low, log_high, angle_high = _ranges(constituents)
    log_step = max(log_high - log_low, 1e-9) / 65535
    angle_step = max(angle_high, 1e-9) / 32767
    parts = [_encode(jets, log_low, log_step, angle_step) for jets in _blocks(constituents)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns |= {"labels": np.asarray(labels, np.uint8), "masses": np.array(MASSES)}
    buffer = io.BytesIO()  # on a full disk h5py's own writing ends in a noise of errors
    with h5py.File(buffer, "w") as file:
        file.attrs.update(attributes)
        file.attrs.update(
            format=FORMAT,
            format_version=VERSION,
            width=width,
            log_low=log_low,
            log_step=log_step,
            angle_step=angle_step,
        )
        for name, column in columns.items():
            file.create_dataset(name, data=column, chunks=True, compression="gzip", compression_opts=9, shuffle=True)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


class Stored(NamedTuple):
    """The jets of a file as they are stored, checked."""

    labels: np.ndarray  # uint8 [n]
    width: int  # for how many constituents a jet has room
    columns: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any]
    ends: np.ndarray  # [n], where the constituents of each jet end in the columns


def read(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Read what `write` wrote: constituents float32 [n, k, 4] as (E, px, py, pz) in GeV and labels uint8 [n].

    Needs little more memory than the arrays it returns.

    Raises:
        InputError: the file is missing, damaged, or not of this format.
    """
    found = stored(path)
    require_memory(Path(path), 16 * len(found.labels) * found.width, "its jets")
    return decoded(found, 0, len(found.labels)), found.labels


def stored(path: str | Path) -> Stored:
    """The jets of a file, which `decoded` makes constituents of; raises as `read` does."""
    import h5py

    with reading(path, f"a file in the {FORMAT} format") as path, h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
        found = [name for name in _DATASETS if isinstance(file.get(name), h5py.Dataset)]
        require_memory(path, sum(file[name].nbytes for name in found), "its arrays")
        columns = {name: file[name][()] for name in found}
    _check_columns(path, attributes, columns)
    ends = np.cumsum(columns["counts"], dtype=np.int64)
    return Stored(columns["labels"], int(attributes["width"]), columns, attributes, ends)


def decoded(stored: Stored, first: int, last: int) -> np.ndarray:
    """Constituents [jet, k, 4] of the jets from `first` to the one before `last`."""
    jets = np.zeros((last - first, stored.width, 4), np.float32)
    columns, counts = stored.columns, stored.columns["counts"]
    for start in range(first, last, _ROWS):
        rows = slice(start, min(start + _ROWS, last))
        between = slice(stored.ends[start] - counts[start], stored.ends[rows][-1])
        hits = {name: columns[name][between] for name in ("log_pt", "rapidity", "phi", "species")}
        out = jets[start - first : rows.stop - first]
        _decode(out, counts[rows].astype(np.int64), columns["axis"][rows], hits, columns["masses"], stored.attributes)
    return jets


def _blocks(constituents: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of jets in float64."""
    for start in range(0, max(len(constituents), 1), _ROWS):  # no jets: one empty block
        yield np.asarray(constituents[start : start + _ROWS], np.float64)


class _Polar(NamedTuple):
    real: np.ndarray  # [n, k] whether an entry is a constituent; the others hold 0 in the next four
    log_pt: np.ndarray  # [n, k]
    rapidity: np.ndarray  # [n, k], from the axis
    phi: np.ndarray  # [n, k], from the axis
    species: np.ndarray  # [n, k]
    axis: np.ndarray  # [n, 2] float32, rapidity and phi of the sum


def _polar(jets: np.ndarray) -> _Polar:
    real = jets[..., 0] > 0
    pt = np.where(real, kinematics.pt(jets), 1.0)
    momentum = np.hypot(pt, jets[..., 3])
    # The nearest mass by energy: E^2 - p^2 of float32 numbers is rounding noise for the hard constituents.
    species = np.zeros(real.shape, np.uint8)
    species[real] = np.abs(np.hypot(momentum[real][:, None], MASSES) - jets[..., 0][real][:, None]).argmin(axis=1)
    rapidity = np.arcsinh(jets[..., 3] / np.hypot(pt, np.array(MASSES)[species]))
    total = kinematics.jet_momentum(jets)
    axis = np.stack([kinematics.rapidity(total), kinematics.phi(total)], axis=1).astype(np.float32)
    return _Polar(
        real=real,
        log_pt=np.log(pt),
        rapidity=np.where(real, rapidity - axis[:, :1], 0.0),
        phi=np.where(real, kinematics.wrap(kinematics.phi(jets) - axis[:, 1:]), 0.0),
        species=species,
        axis=axis,
    )


def _ranges(constituents: np.ndarray) -> tuple[float, float, float]:
    """The least and the greatest ln pT and the greatest offset from the axis."""
    lows, highs, angles = [], [], [0.0]
    for jets in _blocks(constituents):
        polar = _polar(jets)
        if polar.real.any():
            lows.append(polar.log_pt[polar.real].min())
            highs.append(polar.log_pt[polar.real].max())
            angles.append(max(np.abs(polar.rapidity).max(), np.abs(polar.phi).max()))
    return float(min(lows, default=0.0)), float(max(highs, default=0.0)), float(max(angles))


def _encode(jets: np.ndarray, log_low: float, log_step: float, angle_step: float) -> dict[str, np.ndarray]:
    *entries, axis = _polar(jets)
    order = np.argsort(np.where(entries[0], -entries[1], np.inf), axis=1, kind="stable")
    real, log_pt, rapidity, phi, species = (np.take_along_axis(entry, order, axis=1) for entry in entries)
    level = np.rint((log_pt - log_low) / log_step).astype(np.int64)
    fall = np.concatenate([level[:, :1], level[:, :-1] - level[:, 1:]], axis=1)
    return {
        "counts": real.sum(axis=1).astype(np.uint8),
        "axis": axis,
        "log_pt": fall[real].astype(np.uint16),
        "rapidity": np.rint(rapidity[real] / angle_step).astype(np.int16),
        "phi": np.rint(phi[real] / angle_step).astype(np.int16),
        "species": species[real],
    }


def _decode(
    out: np.ndarray,
    counts: np.ndarray,
    axis: np.ndarray,
    hits: Mapping[str, np.ndarray],
    masses: np.ndarray,
    attributes: Mapping[str, Any],
) -> None:
    """Fill `out` [n, k, 4], zeros, with the constituents of n jets."""
    jet = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    fall = hits["log_pt"].astype(np.int64)
    total_fall = np.cumsum(fall)
    level = fall[first] - (total_fall - total_fall[first])
    pt = np.exp(attributes["log_low"] + attributes["log_step"] * level)
    rapidity = axis[jet, 0].astype(np.float64) + attributes["angle_step"] * hits["rapidity"]
    phi = axis[jet, 1].astype(np.float64) + attributes["angle_step"] * hits["phi"]
    transverse = np.hypot(pt, masses[hits["species"]])
    momenta = (transverse * np.cosh(rapidity), pt * np.cos(phi), pt * np.sin(phi), transverse * np.sinh(rapidity))
    out[jet, np.arange(len(jet)) - first] = np.stack(momenta, axis=1)


def _check_jets(path: str | Path, constituents: np.ndarray, labels: np.ndarray) -> None:
    shape = constituents.shape
    if len(shape) != 3 or shape[1] > _WIDTH_MAX or shape[2] != 4 or labels.shape != shape[:1]:
        raise InputError(
            f"{path}: expected constituents [n, up to 255, 4] and labels [n], got {list(shape)} and {list(labels.shape)}; "
            "give each jet its hardest constituents as (E, px, py, pz) and one label"
        )
    for jets in _blocks(constituents):
        real = jets[..., 0] != 0
        bad = ~np.isfinite(jets).all(axis=-1) | (jets[..., 0] < 0) | (real & (kinematics.pt(jets) == 0))
        if bad.any():
            raise InputError(
                f"{path}: expected finite momenta off the beam axis with energies of at least 0, found {int(bad.sum())} "
                "other constituents in one block of jets; remove them"
            )


def _check_columns(path: Path, attributes: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> None:
    if attributes.get("format") != FORMAT or attributes.get("format_version") != VERSION:
        found = (
            f"{attributes.get('format', 'no format attribute')}, version {attributes.get('format_version', 'unknown')}"
        )
        raise _unreadable(path, found)
    for name, kind in _DATASETS.items():
        if name not in columns or columns[name].dtype != np.dtype(kind):
            raise _unreadable(path, f"no dataset {name} of type {np.dtype(kind)}")
    n, total = len(columns["labels"]), int(columns["counts"].sum(dtype=np.int64))
    shapes = {"counts": (n,), "axis": (n, 2), **dict.fromkeys(("log_pt", "rapidity", "phi", "species"), (total,))}
    for name, shape in shapes.items():
        if columns[name].shape != shape:
            raise _unreadable(path, f"{name} of shape {list(columns[name].shape)} where {list(shape)} is due")
    for name in ("width", "log_low", "log_step", "angle_step"):
        value = attributes.get(name)
        if not isinstance(value, np.number) or not np.isfinite(value):
            raise _unreadable(path, f"no number {name}")
    if not int(columns["counts"].max(initial=0)) <= attributes["width"] <= _WIDTH_MAX:
        raise _unreadable(
            path, f"up to {int(columns['counts'].max(initial=0))} constituents in a width of {attributes['width']}"
        )
    if int(columns["species"].max(initial=0)) >= len(columns["masses"]):
        raise _unreadable(path, "constituents of unknown species")


def _unreadable(path: Path, found: str) -> InputError:
    return InputError(
        f"{path}: expected a {FORMAT} file, version {VERSION}, found: {found}; "
        "make it again with `jaxsci data generate jets --compact`"
    )
