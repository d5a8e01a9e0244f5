"""The reader of the reference data set, on files of its layout written by pandas."""

import importlib
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest

from jaxsci.data import jets, sources
from jaxsci.data.jets import reference
from jaxsci.errors import InputError


def sample(n=25, k=200, seed=0):
    rng = np.random.default_rng(seed)
    pt = -np.sort(-rng.exponential(30.0, (n, k)) - 0.1, axis=1) * (np.arange(k) < rng.integers(1, k + 1, n)[:, None])
    eta, phi = rng.normal(0, 1, (2, n, k))
    constituents = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    return constituents.astype(np.float32), np.arange(n) % 2


def frame(constituents, labels):
    """The 806 columns of the published files: one block of float32, one of int64."""
    n, k, _ = constituents.shape
    columns = [f"{component}_{i}" for i in range(k) for component in ("E", "PX", "PY", "PZ")]
    columns += ["truthE", "truthPX", "truthPY", "truthPZ"]
    numbers = np.concatenate([constituents.reshape(n, -1), np.full((n, 4), 7, np.float32)], axis=1)
    whole = pd.DataFrame({"ttv": np.full(n, 2), "is_signal_new": labels})
    return pd.concat([pd.DataFrame(numbers, columns=columns), whole], axis=1)


def write(path, table, **options):
    table.to_hdf(path, key="table", **({"format": "table"} | options))
    return path


@pytest.mark.parametrize(
    "options",
    [{}, {"complib": "zlib", "complevel": 3}, {"complib": "blosc", "complevel": 5}],
    ids=["plain", "zlib", "blosc"],
)
def test_the_published_layout_comes_back(tmp_path, options):
    """The published files are compressed with Blosc."""
    if options.get("complib") == "blosc":
        pytest.importorskip("hdf5plugin")
    constituents, labels = sample()
    path = write(tmp_path / "train.h5", frame(constituents, labels), **options)
    read = jets.read(path)
    np.testing.assert_array_equal(read.constituents, constituents)
    np.testing.assert_array_equal(read.labels, labels)
    assert jets.count(path) == 25
    parts = list(jets.stream(path, chunk=10))
    assert [len(part.labels) for part in parts] == [10, 10, 5]
    np.testing.assert_array_equal(np.concatenate([part.constituents for part in parts]), constituents)


def test_columns_are_found_by_name_whatever_their_order_type_and_number(tmp_path):
    constituents, labels = sample(k=30)
    table = frame(constituents, labels)
    table = table[np.random.default_rng(0).permutation(table.columns)]
    table = table.astype({"E_0": np.float64, "PX_7": np.float64, "is_signal_new": np.int8})
    table = pd.concat([table, pd.DataFrame({"generator": ["pythia"] * len(table)})], axis=1).copy()
    read = jets.read(write(tmp_path / "mixed.h5", table))
    np.testing.assert_array_equal(read.constituents, constituents)
    np.testing.assert_array_equal(read.labels, labels)


def test_a_table_without_labels_serves_prediction(tmp_path):
    constituents, labels = sample(k=5)
    path = write(tmp_path / "new.h5", frame(constituents, labels).drop(columns=reference.LABEL))
    np.testing.assert_array_equal(jets.read(path, labels="optional").constituents, constituents)
    with pytest.raises(InputError, match="column is_signal_new"):
        jets.read(path)


def test_names_written_by_python_2_are_understood(tmp_path):
    """The published files are from 2018; Python 2 pickled str with other opcodes."""
    constituents, labels = sample(k=3)
    path = write(tmp_path / "old.h5", frame(constituents, labels))
    with h5py.File(path, "r+") as file:
        attributes = file["table/table"].attrs
        names = pickle.loads(attributes["values_block_0_kind"])
        old = b"(lp1\n" + b"".join(f"S'{name}'\np{i + 2}\na".encode() for i, name in enumerate(names)) + b"."
        assert pickle.loads(old) == names
        attributes["values_block_0_kind"] = np.bytes_(old)
    np.testing.assert_array_equal(jets.read(path).constituents, constituents)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_lists_of_strings_are_read_in_every_protocol(protocol):
    names = ["E_0", "PX_0", "x" * 300, "größe"]
    assert reference.list_of_strings(pickle.dumps(names, protocol)) == names


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_code_is_refused_and_not_run(protocol):
    assert reference.list_of_strings(pickle.dumps(Trap(), protocol)) is None
    assert reference.list_of_strings(pickle.dumps(["E_0", Trap()], protocol)) is None


@pytest.mark.parametrize(
    "content", [b"", b"integer", b"\xff\x00", b"(lp0\nVE_0\n", pickle.dumps({"a": 1}), pickle.dumps([1, 2])]
)
def test_what_is_no_list_of_strings_is_refused(content):
    assert reference.list_of_strings(content) is None


def test_a_file_with_pickled_code_is_read_without_running_it(tmp_path):
    constituents, labels = sample(k=3)
    path = write(tmp_path / "trap.h5", frame(constituents, labels))
    with h5py.File(path, "r+") as file:
        for owner in (file["table"], file["table/table"]):
            for name in ("TITLE", "info", "values_cols"):
                owner.attrs[name] = np.bytes_(pickle.dumps(Trap(), 0))
    np.testing.assert_array_equal(jets.read(path).constituents, constituents)
    with h5py.File(path, "r+") as file:
        file["table/table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(Trap(), 0))
    with pytest.raises(InputError, match="without E_0"):
        jets.read(path)


@pytest.mark.parametrize("missing", ["E_0", "PY_2", "PZ_199"])
def test_missing_columns_are_named(tmp_path, missing):
    path = write(tmp_path / "train.h5", frame(*sample(n=3)).drop(columns=missing))
    with pytest.raises(InputError, match=f"without {missing}; rename"):
        jets.read(path)


def test_fixed_format_is_refused_with_the_remedy(tmp_path):
    path = write(tmp_path / "fixed.h5", frame(*sample(n=3, k=2)), format="fixed")
    with pytest.raises(
        InputError, match=r'got the format frame; write it with frame.to_hdf\(file, key="table", format="table"\)'
    ):
        jets.read(path)


def test_another_key_is_refused(tmp_path):
    path = tmp_path / "key.h5"
    frame(*sample(n=3, k=2)).to_hdf(path, key="df", format="table")
    with pytest.raises(InputError, match="found no arrays"):
        jets.read(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("E_0", -1, "energies of at least 0"), ("PX_1", np.nan, "finite"), ("is_signal_new", 3, "got 3 in row 4")],
)
def test_bad_numbers_are_refused(tmp_path, column, value, message):
    table = frame(*sample(k=3))
    table.loc[4, column] = value
    with pytest.raises(InputError, match=message):
        jets.read(write(tmp_path / "train.h5", table))


def test_compression_that_cannot_be_read_names_the_package(tmp_path, monkeypatch):
    path = write(tmp_path / "train.h5", frame(*sample(n=3, k=2)), complib="blosc", complevel=5)

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"compressed with blosc \(filter 32001\).*pip install hdf5plugin"):
        jets.read(path)


def test_a_truncated_table_is_refused(tmp_path):
    path = write(tmp_path / "train.h5", frame(*sample()))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cannot be read: .*truncated"):
        jets.read(path)


def test_a_gap_in_the_numbers_of_the_constituents_is_refused(tmp_path):
    """Without E_1 the jets would be cut to one constituent each."""
    constituents, labels = sample(k=3)
    with pytest.raises(InputError, match="without E_1"):
        jets.read(write(tmp_path / "gap.h5", frame(constituents, labels).drop(columns="E_1")))


def test_ranges_of_rows(tmp_path):
    constituents, labels = sample(k=5)
    rows = sources.source(write(tmp_path / "train.h5", frame(constituents, labels)), jets.rows).rows(5, 9)
    np.testing.assert_array_equal(rows["constituents"], constituents[5:9])
    np.testing.assert_array_equal(rows["labels"], labels[5:9])
