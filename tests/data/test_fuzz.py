"""Damaged files, a few hundred for each run: a reader answers with numbers or with one line, never with another exception."""

import gzip
import io
import resource
import signal
import sys
import tempfile
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxsci.data import columns, dimuons, images, jets
from jaxsci.data.jets.files import jetclass
from jaxsci.data.materials.formula_table import stream
from jaxsci.data.sphere import relief, sky
from jaxsci.errors import InputError

MUTATIONS = 40  # of each file
BY_NIGHT = 1_000
SECONDS = 5  # for one file, however damaged
GROWTH = 2**20  # KiB of memory that reading small files may take
TOKENS = (
    *(b"nan", b"inf", b"1e999", b"-1", b"9" * 30, b"1,5", b'"', b"\r", b"\0", b"\xff", b"\xc3\xa9", b"", b"1_0"),
    *(b"0x1", b"\t", b";", b"\n\n"),
)
X, Y = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4), np.arange(6) % 2


def _npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _hdf5(**arrays):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        for name, array in arrays.items():
            written[name] = array
    return file.getvalue()


@cache
def _fits(index=False):
    fits = pytest.importorskip("astropy.io.fits")
    columns = [fits.Column(name="T", format="E", unit="mK", array=np.arange(12.0) - 4)]
    if index:
        columns = [fits.Column(name="PIXEL", format="J", array=np.arange(12)), *columns]
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update(NSIDE=1, ORDERING="RING", BAD_DATA=-1.6375e30)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return file.getvalue()


@cache
def _root():
    uproot = pytest.importorskip("uproot")
    rows = np.array([line.split(b",") for line in PAIRS.splitlines()[1:]], float)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.root"
        with uproot.recreate(path) as written:
            written["Events"] = dict(zip(PAIRS.splitlines()[0].decode().split(","), rows.T, strict=True))
        return path.read_bytes()


def _lists(name, branches, kind):
    """A ROOT file with lists of numbers in each row, as a TTree or an RNTuple."""
    uproot, ak = pytest.importorskip("uproot"), pytest.importorskip("awkward")
    with tempfile.TemporaryDirectory() as folder:
        with uproot.recreate(Path(folder) / "lists.root") as written:
            arrays = {branch: ak.values_astype(ak.Array(values), float) for branch, values in branches.items()}
            types = {branch: "var * float64" if values.ndim > 1 else "float64" for branch, values in arrays.items()}
            (written.mktree if kind == "TTree" else written.mkrntuple)(name, types).extend(arrays)
        return (Path(folder) / "lists.root").read_bytes()


@cache
def _nano(kind):
    muons = {"Muon_pt": [40.0, 50.0], "Muon_eta": [0.0, 1.0], "Muon_phi": [0.0, 3.0], "Muon_charge": [1, -1]}
    return _lists("Events", {**{name: [values] * 5 for name, values in muons.items()}, "genWeight": [1.0] * 5}, kind)


@cache
def _jetclass(kind):
    names = ("energy", "px", "py", "pz")
    momenta = {f"part_{name}": [jet[:, i] for jet in _momenta()] for i, name in enumerate(names)}
    return _lists(
        "tree", {**momenta, **{f"label_{name}": [float(name == "QCD")] * 6 for name in jetclass.CLASSES}}, kind
    )


def _momenta():
    p = np.random.default_rng(0).normal(size=(6, 3, 3)) * 20
    return np.concatenate([np.linalg.norm(p, axis=-1, keepdims=True), p], axis=-1).astype(np.float32)


IDX = bytes([0, 0, 8, 3]) + np.array(X.shape, ">u4").tobytes() + X.tobytes()
PAIRS = b"run,event,E1,px1,py1,pz1,E2,px2,py2,pz2\n" + b"".join(b"1,%d,50,30,0,40,50,-30,0,-40\n" % i for i in range(5))
FILES = {
    "images.npz": (_npz(x=X, y=Y), images.read),
    "images.h5": (_hdf5(x=X, y=Y), images.read),
    "images-idx3": (IDX, images.read_unlabeled),
    "images-idx3.gz": (gzip.compress(IDX, mtime=0), images.read_unlabeled),
    "jets.npz": (_npz(constituents=_momenta(), labels=Y), jets.read),
    "jets.h5": (_hdf5(constituents=_momenta(), labels=Y), jets.read),
    "table.csv": (b"a,b\n1,2.5\n3,4e1\n", columns.read),
    "table.npz": (_npz(a=np.arange(3), b=np.ones(3)), columns.read),
    "pairs.csv": (PAIRS, dimuons.read),
    "formulas.csv": (
        b'formula,Tc\nMgB2,39\n"YBa2Cu3O6.9",92.1\nNb3Sn,18\n',
        lambda path: list(stream(path, with_tc=True)),
    ),
    "german.csv": (
        b"Formel;formula;Tc (K)\nx;MgB2;39,5\ny;Nb;9,2\n",
        lambda path: list(stream(path, with_tc=True, skip_bad=True)),
    ),
    "relief.txt": (b"0 0 1.5 0\n1 0 2.0 0\n1 1 0.5 -0.25\n", relief.read_coefficients),
    "sky.npz": (_npz(map=np.arange(12.0), unit="K"), sky.read_map),
    "sky.fits": (_fits, sky.read_map),
    "sky.fits.gz": (lambda: gzip.compress(_fits(), mtime=0), sky.read_map),
    "partial.fits": (lambda: _fits(index=True), sky.read_map),
    "pairs.root": (_root, dimuons.read),
    "table.root": (_root, columns.read),
    "muons.root": (lambda: _nano("TTree"), dimuons.read),
    "muons_rn.root": (lambda: _nano("RNTuple"), dimuons.read),
    "jetclass.root": (lambda: _jetclass("TTree"), jets.read),
    "jetclass_rn.root": (lambda: _jetclass("RNTuple"), jets.read),
    "spectrum.txt": (b"# l D_l\n2 1000.5 3\n3 1e3 2\n", sky.read_spectrum),
}


def _mutated(content, rng):
    """A copy with a byte changed, a piece gone or doubled, the end cut off, or a token in the place of a field or between two bytes."""
    data, at = bytearray(content), int(rng.integers(len(content)))
    match int(rng.integers(6)):
        case 0:
            data[at] ^= 1 << int(rng.integers(8))
        case 1:
            data[at] = int(rng.integers(256))
        case 2:
            del data[at : at + int(rng.integers(1, 9))]
        case 3:
            data[at:at] = data[at : at + int(rng.integers(1, 40))]
        case 4:
            del data[at:]
        case 5:
            token = TOKENS[int(rng.integers(len(TOKENS)))]
            data[at : at + int(rng.integers(0, 4))] = token
    return bytes(data)


class _Slow(BaseException):
    """Raised after some seconds; no `Exception`, all of which readers turn into one line."""


@pytest.fixture
def in_time():
    """A clock for each file."""

    def ring(number, frame):
        raise _Slow

    before = signal.signal(signal.SIGALRM, ring)
    yield signal.alarm
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mutations", [MUTATIONS, pytest.param(BY_NIGHT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_refused_in_one_line(name, mutations, tmp_path, in_time):
    content, read = FILES[name]
    content = content() if callable(content) else content
    path = tmp_path / name
    path.write_bytes(content)
    read(path)
    rng = np.random.default_rng([len(content), len(name), mutations])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(mutations):
        path.write_bytes(damaged := _mutated(content, rng))
        in_time(SECONDS)
        line = _answer(read, path, damaged)
        in_time(0)
        assert line is None or (str(path) in line and line.isprintable())
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GROWTH


def _answer(read, path, damaged):
    """The line with which the file is refused; None where it is read."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    except (Exception, _Slow) as error:  # what is looked for
        pytest.fail(f"{type(error).__name__}: {error} for {damaged[:300]!r}")
    return None
