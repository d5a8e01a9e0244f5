"""Jets of many files and of JetClass, read whole and by ranges of rows."""

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from jaxsci.data import jets, sources
from jaxsci.data.jets.files import jetclass
from jaxsci.errors import InputError
from tests.data.jets.files.small import some_jets, write_jetclass

RNG = np.random.default_rng(2)


def test_many_files_are_one(tmp_path):
    sample, labels = some_jets(30, 6), RNG.integers(0, 2, 30)
    labels[[0, 1]] = 0, 1
    for number, rows in enumerate(np.split(np.arange(30), [4, 17])):
        with h5py.File(tmp_path / f"part_{number}.h5", "w") as file:
            file["constituents"], file["labels"] = sample[rows], labels[rows]
    whole = jets.read(tmp_path / "part_*.h5")
    np.testing.assert_array_equal(whole.constituents, sample)
    np.testing.assert_array_equal(whole.labels, labels)
    assert jets.count(tmp_path / "part_*.h5") == 30
    np.testing.assert_array_equal(np.concatenate([part.labels for part in jets.stream(tmp_path / "part_*.h5")]), labels)
    rows = sources.source(tmp_path / "part_*.h5", jets.rows).rows(3, 20)
    np.testing.assert_array_equal(rows["constituents"], sample[3:20])
    np.testing.assert_array_equal(rows["labels"], labels[3:20])
    with h5py.File(tmp_path / "part_3.h5", "w") as file:
        file["constituents"] = sample[:, :5]
    for read in (jets.read, lambda pattern: sources.source(pattern, jets.rows)):
        with pytest.raises(InputError, match=r"part_3\.h5: expected .* as in .*part_0\.h5"):
            read(tmp_path / "part_*.h5")


@pytest.fixture
def published(tmp_path):
    """Tops, two files of QCD jets, and Higgs bosons, some with more particles than there is room for."""
    samples = {
        "TTBar_000": ("Tbqq", some_jets(12, 20, 1)),
        "ZJetsToNuNu_000": ("QCD", some_jets(9, 200, 2)),
        "ZJetsToNuNu_001": ("QCD", some_jets(5, 30, 3)),
        "HToBB_000": ("Hbb", some_jets(7, 10, 4)),
    }
    for name, (label, sample) in samples.items():
        write_jetclass(tmp_path / f"{name}.root", sample, label)
    return tmp_path, samples


def test_jetclass_as_tops_and_background(published):
    folder, samples = published
    pattern = folder / "{TTBar,ZJetsToNuNu}_*.root"
    sample = jets.read(pattern)
    assert sample.constituents.shape == (26, 128, 4)
    np.testing.assert_array_equal(sample.labels, [1] * 12 + [0] * 14)
    expected = samples["ZJetsToNuNu_000"][1][:, :128]  # sorted by pT: those left out are the softest
    np.testing.assert_array_equal(sample.constituents[12:21], expected)
    np.testing.assert_array_equal(sample.constituents[:12, :20], samples["TTBar_000"][1])
    assert not sample.constituents[:12, 20:].any()
    rows = sources.source(pattern, jets.rows).rows(10, 23)
    np.testing.assert_array_equal(rows["constituents"], sample.constituents[10:23])
    np.testing.assert_array_equal(rows["labels"], sample.labels[10:23])
    with pytest.raises(
        InputError, match=r"HToBB_000\.root: expected jets of the classes QCD \(0\), Tbqq \(1\), got Hbb in row 0"
    ):
        jets.read(folder / "*.root")


def test_jetclass_with_all_classes(published):
    folder, samples = published
    source = sources.source(folder / "*.root", jetclass.all_classes)
    rows = source.rows(0, len(source))
    names = [jetclass.CLASSES[label] for label in rows["labels"]]
    assert names == ["Hbb"] * 7 + ["Tbqq"] * 12 + ["QCD"] * 14
    np.testing.assert_array_equal(rows["constituents"][:7, :10], samples["HToBB_000"][1])
    # As labels, in the order in which they are named.
    sample = jets.read(folder / "*.root", classes=("Tbqq", "Hbb", "QCD"))
    np.testing.assert_array_equal(sample.labels, [1] * 7 + [0] * 12 + [2] * 14)
    with pytest.raises(InputError, match=r"expected jets of the classes Tbqq \(0\), Hbb \(1\), got QCD in row 0"):
        jets.read(folder / "*.root", classes=("Tbqq", "Hbb"))
    with pytest.raises(InputError, match=r"expected classes of JetClass, QCD, .* got top"):
        jets.read(folder / "*.root", classes=("QCD", "top"))


def test_a_root_file_that_is_not_of_jetclass(tmp_path):
    with uproot.recreate(tmp_path / "a.root") as file:
        file["tree"] = {"part_px": np.ones(3)}
    with pytest.raises(
        InputError, match=r"expected the branches part_px, .* of JetClass, got a tree tree without part_energy"
    ):
        jets.read(tmp_path / "a.root")


def test_a_jet_of_two_classes_is_refused(tmp_path):
    write_jetclass(tmp_path / "a.root", some_jets(4, 5), "QCD")
    with uproot.open(tmp_path / "a.root") as file:
        branches = {name: branch.array() for name, branch in file["tree"].items() if not name.startswith("n")}
    branches["label_Hbb"] = np.array([0, 0, 1, 0], np.float32)
    with uproot.recreate(tmp_path / "b.root") as file:
        file["tree"] = branches
    with pytest.raises(InputError, match="got 2 of them in row 2"):
        jets.read(tmp_path / "b.root")


def test_lists_of_a_jet_that_are_not_of_one_length_are_refused(tmp_path):
    path = tmp_path / "a.root"
    write_jetclass(path, some_jets(6, 5), "QCD")
    with uproot.open(path)["tree"] as tree:
        branches = {name: tree[name].array() for name in tree.keys(recursive=False) if not name.startswith("n")}
    counts = ak.to_numpy(ak.num(branches["part_px"]))
    counts[[2, 3]] = counts[3] + 1, counts[2] - 1  # the same number in all: another jet has one of them
    branches["part_px"] = ak.unflatten(ak.flatten(branches["part_px"]), counts)
    with uproot.recreate(path) as file:
        file["tree"] = branches
    with pytest.raises(InputError, match=r"expected lists of one length in part_energy, .* of part_px in row 2 \("):
        jets.read(path)


def test_weights_of_jetclass_are_known_by_their_names(tmp_path):
    path, weights = tmp_path / "TTBar_0.root", np.arange(1, 7, dtype=np.float32)
    write_jetclass(path, some_jets(6, 3), "Tbqq", evt_weight=weights)
    assert jets.sample.weight_names(path) == ["evt_weight"]
    np.testing.assert_array_equal(jets.read(path, weights="evt_weight").weights, weights)
