"""Generation by many processes: the same jets however they are made, also after an interruption; refusals."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from jaxsci.data.jets import compact, generate, kinematics, pythia
from jaxsci.errors import InputError

N, CHUNK, SEED = 60, 20, 7


def has_hep():
    try:
        pythia.require_packages()
    except InputError:
        return False
    return True


needs_hep = pytest.mark.skipif(not has_hep(), reason="pythia8mc, fastjet and awkward are not installed")


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(generate, "_CHUNK", CHUNK)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished generation by two processes, and a copy of its parts."""
    folder = tmp_path_factory.mktemp("whole")
    out, join = folder / "jets.h5", generate._join

    def copy_and_join(*arguments):
        shutil.copytree(folder / "jets.h5.parts", folder / "copy")
        join(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "_CHUNK", CHUNK)
        patch.setattr(generate, "_join", copy_and_join)
        generate.generate_jets(out, n=N, seed=SEED, processes=2, progress=False)
    assert sorted(path.name for path in folder.iterdir()) == ["copy", "jets.h5"]  # no parts left
    return out, folder / "copy"


def read(path):
    with h5py.File(path) as file:
        return file["constituents"][()], file["labels"][()], dict(file.attrs)


def read_tops(path):
    with h5py.File(path) as file:
        return file["top"][()]


def place_parts(source, out, names):
    folder = Path(f"{out}.parts")
    folder.mkdir()
    for name in names:
        shutil.copy(source / name, folder / name)


@needs_hep
def test_file(whole):
    constituents, labels, attributes = read(whole[0])
    assert constituents.shape == (N, 200, 4)
    assert constituents.dtype == np.float32
    assert labels.dtype == np.uint8
    for start in range(0, N, CHUNK):  # every chunk is balanced and shuffled
        chunk = labels[start : start + CHUNK]
        np.testing.assert_array_equal(np.bincount(chunk), [CHUNK // 2, CHUNK // 2])
        assert np.any(np.diff(chunk.astype(int)) > 0)
        assert np.any(np.diff(chunk.astype(int)) < 0)
    momenta = kinematics.jet_momentum(constituents)
    assert (np.abs(kinematics.pt(momenta) - 600) < 50.001).all()
    assert (np.abs(kinematics.eta(momenta)) < 2.00001).all()
    assert len(np.unique(constituents[:, 0, 1])) == N  # no chunk repeats another
    mass = kinematics.mass(momenta)
    # A label on the wrong jets would show: tops lie near 174 GeV, two thirds of the QCD jets below 140.
    assert np.median(mass[labels == pythia.TOP]) > 160
    assert np.median(mass[labels == pythia.QCD]) < 130
    top = read_tops(whole[0])  # of each jet its own quark, in the shuffled order
    assert not top[labels == pythia.QCD].any()
    apart = (
        kinematics.eta(momenta) - kinematics.eta(top),
        kinematics.wrap(kinematics.phi(momenta) - kinematics.phi(top)),
    )
    assert (np.hypot(*apart)[labels == pythia.TOP] < pythia.RADIUS).all()
    assert attributes["command"] == f"jaxsci data generate jets --n {N} --seed {SEED}"
    assert attributes["format"] == generate.FORMAT
    assert bool(attributes["simulated"])
    assert attributes["jet_pt_min_GeV"] == 550
    assert {"pythia8mc_version", "fastjet_version", "jaxsci_version"} <= set(attributes)


@needs_hep
def test_one_process_makes_the_same_jets(whole, tmp_path, capfd):
    generate.generate_jets(tmp_path / "one.h5", n=N, seed=SEED, processes=1, progress=False)
    for expected, found in zip(read(whole[0])[:2], read(tmp_path / "one.h5")[:2], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert capfd.readouterr() == ("", "")  # fastjet's banner does not come through


@needs_hep
def test_a_resumed_generation_equals_an_uninterrupted_one(whole, tmp_path, monkeypatch, capfd):
    out, kept = tmp_path / "jets.h5", ["000000.h5", "000002.h5"]
    place_parts(whole[1], out, kept)
    before = {name: (tmp_path / "jets.h5.parts" / name).stat().st_mtime_ns for name in kept}
    join, after = generate._join, {}

    def note_and_join(*arguments):
        after.update({name: (tmp_path / "jets.h5.parts" / name).stat().st_mtime_ns for name in kept})
        join(*arguments)

    monkeypatch.setattr(generate, "_join", note_and_join)
    generate.generate_jets(out, n=N, seed=SEED, processes=2, progress=True)
    assert after == before  # finished chunks were used, not made again
    for expected, found in zip(read(whole[0])[:2], read(out)[:2], strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(read_tops(out), read_tops(whole[0]))
    assert [path.name for path in tmp_path.iterdir()] == ["jets.h5"]
    printed, bar = capfd.readouterr()
    assert printed == ""
    assert f"{N}/{N}" in bar


@needs_hep
def test_compact_holds_the_same_jets(whole, tmp_path):
    out = tmp_path / "small.h5"
    place_parts(whole[1], out, [f"{number:06d}.h5" for number in range(N // CHUNK)])
    generate.generate_jets(out, n=N, seed=SEED, compact=True, progress=False)
    constituents, labels = compact.read(out)
    expected, expected_labels, _ = read(whole[0])
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(kinematics.pt(constituents), kinematics.pt(expected), rtol=1.2e-4)
    assert read_attributes(out)["command"] == f"jaxsci data generate jets --n {N} --seed {SEED} --compact"


def read_attributes(path):
    with h5py.File(path) as file:
        return dict(file.attrs)


@needs_hep
def test_detector(whole, tmp_path):
    out = tmp_path / "seen.h5"
    generate.generate_jets(out, n=CHUNK, seed=SEED, detector=True, processes=1, progress=False)
    constituents, labels, attributes = read(out)
    momenta = kinematics.jet_momentum(constituents)
    assert (np.abs(kinematics.pt(momenta) - 600) < 50.001).all()
    np.testing.assert_array_equal(np.bincount(labels), [CHUNK // 2, CHUNK // 2])
    # Thresholds and merging in cells: no track below 0.5 GeV of pT, no cell below 0.5 GeV of energy.
    real = constituents[..., 0] > 0
    assert constituents[..., 0][real].min() > 0.5
    assert real.sum(1).mean() < (read(whole[0])[0][..., 0] > 0).sum(1).mean()
    assert bool(attributes["detector"])
    assert "ATLAS" in attributes["detector_card"]
    assert "--detector" in attributes["command"]


@needs_hep
@pytest.mark.parametrize("other", [{"seed": SEED + 1}, {"detector": True}, {"n": 10}])
def test_parts_of_other_settings_are_refused_and_kept(whole, tmp_path, other):
    out = tmp_path / "jets.h5"
    place_parts(whole[1], out, ["000000.h5"])
    with pytest.raises(InputError, match=r"jets\.h5\.parts.*remove the folder"):
        generate.generate_jets(out, **({"n": N, "seed": SEED} | other), progress=False)
    assert [path.name for path in (tmp_path / "jets.h5.parts").iterdir()] == ["000000.h5"]
    assert not out.exists()


@needs_hep
def test_a_damaged_part_is_refused(whole, tmp_path):
    out = tmp_path / "jets.h5"
    place_parts(whole[1], out, ["000001.h5"])
    part = tmp_path / "jets.h5.parts" / "000001.h5"
    part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(InputError, match=r"000001\.h5: expected a chunk of jets"):
        generate.generate_jets(out, n=N, seed=SEED, progress=False)


@needs_hep
def test_a_place_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"jets\.h5: expected a folder that can be written") as caught:
        generate.generate_jets(tmp_path / "file" / "jets.h5", n=2, seed=SEED, processes=1, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ({"n": 3, "seed": 1}, "--n"),
        ({"n": 0, "seed": 1}, "--n"),
        ({"n": -2, "seed": 1}, "--n"),
        ({"n": 2, "seed": -1}, "--seed"),
        ({"n": 2, "seed": 1, "processes": 0}, "--processes"),
    ],
)
def test_bad_arguments(tmp_path, arguments, option):
    with pytest.raises(InputError, match=f"^{option}: expected"):
        generate.generate_jets(tmp_path / "jets.h5", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["pythia8mc", "fastjet", "awkward"])
def test_a_missing_package_is_named_with_the_remedy(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)  # import then raises ImportError
    with pytest.raises(InputError, match=r"pip install 'jaxsci\[hep\]'"):
        generate.generate_jets(tmp_path / "jets.h5", n=2, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_seeds_of_chunks_are_distinct_and_in_range():
    chunks = [generate._Chunk(number, CHUNK, SEED, False, Path(), "") for number in range(1000)]
    seeds = {generate._pythia_seed(chunk, label) for chunk in chunks for label in (pythia.QCD, pythia.TOP)}
    assert len(seeds) == 2000
    assert min(seeds) >= 1
    assert max(seeds) <= 900_000_000


SCRIPT = f"""
import sys
from pathlib import Path
from jaxsci.data.jets import generate
if __name__ == "__main__":
    generate._CHUNK = {CHUNK}
    generate.generate_jets(Path(sys.argv[1]), n=100_000, seed={SEED}, processes=2, progress=False)
"""


def children(pid):
    """The direct children of a process, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def wait_until(condition):
    """Poll for at most two minutes: a guard against hanging, not a measurement."""
    pause = threading.Event()
    for _ in range(1200):
        if condition():
            return
        pause.wait(0.1)
    raise AssertionError("it never happened")


@needs_hep
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="follows processes through /proc")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_an_interruption_ends_the_workers_and_keeps_finished_chunks(whole, tmp_path, blow):
    out = tmp_path / "jets.h5"
    parts = tmp_path / "jets.h5.parts"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, script, out], stderr=subprocess.PIPE, env=environment)
    try:
        wait_until(lambda: (parts / "000000.h5").exists() or process.poll() is not None)
        workers = children(process.pid)
        assert len(workers) >= 2
        process.send_signal(blow)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert process.returncode != 0
    if blow == signal.SIGINT:
        assert b"KeyboardInterrupt" in errors
    assert not out.exists()
    for expected, found in zip(read(whole[1] / "000000.h5")[:2], read(parts / "000000.h5")[:2], strict=True):
        np.testing.assert_array_equal(found, expected)
