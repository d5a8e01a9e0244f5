"""Parts of the data as files of one's own: which examples are which part, what they share, and what is refused."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.errors import InputError
from jaxsci.runs import seen
from jaxsci.tasks import parts
from jaxsci.tasks.tables.rows import Rows, marks
from tests.command import refused, write_jets

FRACTIONS = (0.6, 0.15, 0.25)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("own", [(), ("validation",), ("test",), ("validation", "test")])
def test_a_part_with_a_file_is_that_file_and_the_rest_is_drawn(own):
    labels = np.arange(400) % 2
    lengths = (400, 70 if "validation" in own else 0, 30 if "test" in own else 0)
    draw = lambda fractions: split(labels, seed=3, fractions=fractions)  # noqa: E731
    found = parts.splits(lengths, seed=3, fractions=FRACTIONS, draw=draw)
    ends = np.cumsum(lengths)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(ends[-1]))  # each example in one part
    if not own:
        assert all(np.array_equal(a, b) for a, b in zip(found, draw(FRACTIONS), strict=True))
    if "validation" in own:
        np.testing.assert_array_equal(np.sort(found[1]), np.arange(400, 470))
    if "test" in own:
        np.testing.assert_array_equal(np.sort(found[2]), np.arange(ends[1], ends[2]))
    # What is drawn keeps the proportion to the training part that the fractions give.
    drawn = [part for part, name in zip((1, 2), ("validation", "test"), strict=True) if name not in own]
    for part in drawn:
        assert len(found[part]) / len(found[0]) == pytest.approx(FRACTIONS[part] / FRACTIONS[0], rel=0.03)
    assert np.abs(np.diff(found[0])).max() > 1  # the order is random


def test_what_parts_share_is_counted_and_a_part_within_another_is_refused(tmp_path):
    for name in ("a", "v", "t"):
        (tmp_path / name).touch()
    options = SimpleNamespace(data=Path("a"), validation=Path("v"), test=Path("t"))
    told = []
    look = partial(parts.compare, options, noun="rows", progress=lambda *words: told.append(words[2]))
    marks = np.array([1, 2, 3, 4, 5, 6, 1, 9], np.uint64)
    rows = np.arange(4), np.arange(4, 6), np.arange(6, 8)
    found = look(marks, rows)
    assert found["shared"] == {"validation": 0, "test": 1}
    assert found["parts"]["test"] == {"file": "t", "examples": 2}
    assert [line for line in told if "1 of 2" in line and line.startswith("warning: t:")]
    marks[7] = 5  # of validation
    with pytest.raises(InputError, match="t: expected rows for test that are not among"):
        look(marks, rows)
    alone = partial(
        parts.compare,
        SimpleNamespace(data=Path("a"), validation=None, test=None),
        noun="rows",
        progress=look.keywords["progress"],
    )
    assert alone(None, rows) == alone(np.arange(8), rows) == {}
    assert alone(marks, rows) == {"shared": {"validation": 0, "test": 2}}  # they may be repeated measurements
    for changed, words in (
        ({"test": Path("a")}, "--test: expected another file than --data"),
        ({"test": tmp_path / "v"}, "--test: expected another file than --validation"),
        ({"data": None}, "--validation: expected --data beside it"),
    ):
        with pytest.raises(InputError, match=words):
            parts.files(SimpleNamespace(**{**vars(options), **changed}))


def evaluation(folder):
    return json.loads((Path(folder) / "evaluation.json").read_text())


def close(a, b):
    """Whether two evaluations say the same, in whatever order the examples came."""
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            close(a[key], b[key])
    elif isinstance(a, list | int | str) or a is None:
        assert a == b
    else:
        assert a == pytest.approx(b, rel=1e-5)


def write_table(path, rows, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, 2))
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "kind"])
        writer.writerows([repr(float(a)), repr(float(b)), "up" if a * b > 0 else "down"] for a, b in x)


QUICK = ["--target", "kind", "--members", "1", "--epochs", "3", "--learning-rate", "1e-2"]


def tables():
    """Four tables; the command that trains on the first and chooses by the second."""
    for seed, (name, rows) in enumerate({"train.csv": 200, "val.csv": 40, "test.csv": 60, "other.csv": 30}.items()):
        write_table(name, rows, seed)
    return ["train", "table", "--data", "train.csv", "--validation", "val.csv", *QUICK]


def test_a_table_with_files_for_its_parts(capsys):
    train = tables()
    # Rows that were trained on are counted; a copy of the training file is no test.
    lines = Path("train.csv").read_text().splitlines(keepends=True)
    Path("copy.csv").write_text("".join(lines))
    Path("some.csv").write_text("".join([*lines[:6], *Path("other.csv").read_text().splitlines(keepends=True)[1:]]))
    Path("wrong.csv").write_text("x,y,kind\n0.5,1,sideways\n")
    Path("short.csv").write_text("x,kind\n0.5,up\n")
    for name, words in (
        (
            "copy.csv",
            "copy.csv: expected rows for test that are not among those for training or validation, got all 200 of them there too",
        ),
        ("train.csv", "expected another file than --data"),
        ("val.csv", "expected another file than --validation"),
        ("wrong.csv", "got 'sideways' in row 0"),
        ("short.csv", "y is missing"),
    ):
        assert words in refused(capsys, *train, "--test", name)
    assert not Path("runs").exists()
    main([*train, "--test", "some.csv"])
    assert "5 of 35 rows for test have the same inputs" in "".join(capsys.readouterr())
    folder = Path("runs/table/kind-1")
    described = json.loads((folder / "config.json").read_text())["data"]["split"]
    files = {name: (of["file"], of["examples"]) for name, of in described["parts"].items()}
    assert files == {"training": ("train.csv", 200), "validation": ("val.csv", 40), "test": ("some.csv", 35)}
    assert described["shared"] == {"validation": 0, "test": 5}
    page = (folder / "report.html").read_text()
    assert "validation 40, val.csv" in page
    assert "5 of the 35 rows of the test part have the inputs of" in page
    write_table("some.csv", 35, seed=9)
    for command in (["evaluate", folder], ["train", "table", "--resume", folder]):
        assert "expected the data that" in refused(capsys, *command)


@pytest.mark.slow
def test_the_test_part_of_a_table_chooses_nothing():
    train = tables()
    main([*train, "--test", "test.csv", "--name", "a"])
    folder = Path("runs/table/a")
    assert "never used in training" in (folder / "report.html").read_text()
    main(["evaluate", str(folder), "--data", "test.csv"])
    close(evaluation(folder)["metrics"], evaluation(folder / "evaluations" / "test")["metrics"])
    main([*train, "--test", "other.csv", "--name", "b"])
    assert Path("runs/table/b/weights.npz").read_bytes() == (folder / "weights.npz").read_bytes()
    assert evaluation("runs/table/b")["rows"] == 30
    found, weights = evaluation(folder), (folder / "weights.npz").read_bytes()
    (folder / "weights.npz").unlink()
    main(["train", "table", "--resume", str(folder)])
    assert (folder / "weights.npz").read_bytes() == weights
    main(["evaluate", str(folder)])
    assert evaluation(folder) == found


def test_groups_of_a_table_are_in_one_file(capsys):
    for name, groups in {"train.csv": "abcdef", "test.csv": "xyza"}.items():
        Path(name).write_text("x,kind,g\n" + "".join(f"{i},{'ud'[i % 2]},{g}\n" for i, g in enumerate(groups)))
    train = ["train", "table", "--data", "train.csv", "--test", "test.csv", "--target", "kind", "--groups", "g"]
    assert "test.csv: expected groups that are in no other part, got 'a'" in refused(capsys, *train)


@pytest.mark.slow
def test_jets_with_a_file_for_validation_and_test(capsys):
    sample = jets.read(jets.embedded(), limit=600)
    write_jets("train.h5", sample.constituents[:300], sample.labels[:300])
    write_jets("val.h5", sample.constituents[300:400, :60], sample.labels[300:400])  # with less room
    write_jets("test.h5", sample.constituents[400:], sample.labels[400:])
    train = ["train", "top-tagging", "--tagger", "mass", "--data", "train.h5", "--epochs", "1"]
    main([*train, "--validation", "val.h5", "--test", "test.h5", "--name", "a"])
    folder = Path("runs/top-tagging/a")
    found = evaluation(folder)
    assert sum(found["jets"].values()) == 200
    described = json.loads((folder / "config.json").read_text())["data"]["split"]
    assert described["parts"]["validation"] == {"file": "val.h5", "examples": 100}
    assert described["shared"] == {"validation": 0, "test": 0}
    np.testing.assert_array_equal(np.load(folder / seen.FILE).size, 400)
    main(["evaluate", str(folder), "--data", "test.h5"])
    close(found["metrics"], evaluation(folder / "evaluations" / "test")["metrics"])
    main(["evaluate", str(folder)])
    assert evaluation(folder) == found
    assert "--test test.h5" in (folder / "report.html").read_text()

    shutil.copy("train.h5", "copy.h5")
    assert "got all 300 of them there too" in refused(capsys, *train, "--test", "copy.h5")
    np.savez("images.npz", images=np.ones((20, 8, 8)), labels=np.arange(20) % 2)
    assert "expected constituents of jets as in train.h5, got images" in refused(capsys, *train, "--test", "images.npz")
    write_jets("tops.h5", sample.constituents[:20], np.ones(20))
    assert "tops.h5: expected jets of both classes" in refused(capsys, *train, "--test", "tops.h5")


@pytest.mark.slow
def test_images_with_a_file_for_the_test(capsys):
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.integers(0, 256, (90, 6, 6)).astype(np.uint16) + 80 * (y == 1)[:, None, None].astype(np.uint16)
    np.savez("train.npz", x=x[:60], y=y[:60])
    np.savez("test.npz", x=np.minimum(x[60:], 255), y=y[60:])  # darker, of the same type: on the same scale
    train = ["train", "images", "--data", "train.npz", "--model", "dense", "--epochs", "1", "--batch-size", "16"]
    main([*train, "--test", "test.npz", "--name", "a"])
    folder = Path("runs/images/a")
    assert evaluation(folder)["images"] == 30
    described = json.loads((folder / "config.json").read_text())["data"]["split"]
    assert [of["examples"] for of in described["parts"].values()] == [54, 6, 30]  # 7 to 1 of 20 images a class
    found = evaluation(folder)
    main(["evaluate", str(folder)])
    assert evaluation(folder) == found
    main(["evaluate", str(folder), "--data", "test.npz"])
    close(evaluation(folder / "evaluations" / "test")["metrics"], found["metrics"])
    for name, changes, words in (
        ("real.npz", {"x": x[60:] / 255, "y": y[60:]}, "expected whole numbers from 0 to 65535"),
        ("large.npz", {"x": x[60:, :5], "y": y[60:]}, "expected images of the run's shape"),
        ("four.npz", {"x": x[60:], "y": y[60:] + 1}, "expected labels 0 to 2"),
        (
            "own.npz",
            {f"{axis}_{part}": both for axis, both in (("x", x), ("y", y)) for part in ("train", "test")},
            "expected images without parts of their own",
        ),
    ):
        np.savez(name, **changes)
        line = refused(capsys, *train, "--test", name)
        assert name in line
        assert words in line


def test_examples_that_are_twice_in_one_file_are_counted_on_the_page(capsys):
    rng = np.random.default_rng(0)
    x, y = rng.integers(256, size=(60, 8, 8), dtype=np.uint8), np.arange(60) % 2
    twice = np.r_[:60, :20]
    np.savez("x.npz", x=x[twice], y=y[twice])
    rows = np.column_stack([rng.normal(size=(60, 3)), y])[twice]
    np.savetxt("t.csv", rows, delimiter=",", header="a,b,c,y", comments="", fmt=("%.6f", "%.6f", "%.6f", "%d"))
    for words in (
        ["images", "--data", "x.npz", "--model", "dense", "--epochs", "1"],
        ["table", "--data", "t.csv", "--target", "y", "--members", "1", "--epochs", "1"],
    ):
        main(["train", *words, "--name", "r"])
        assert "have the same inputs as some for training" in capsys.readouterr().err
        folder = Path("runs", words[0], "r")
        shared = json.loads((folder / "config.json").read_text())["data"]["split"]["shared"]
        page = (folder / "report.html").read_text()
        assert shared["test"] > 0
        assert f"{shared['test']:,} of the" in page
        assert "never used" not in page


def test_repeated_measurements_are_no_fault():
    rng = np.random.default_rng(0)
    designs = Rows(np.repeat(rng.normal(size=(60, 5)), 10, axis=0).astype(np.float32), np.zeros((600, 0), np.int32))
    options, told = SimpleNamespace(data=Path("t.csv"), validation=None, test=None), []
    found = split(np.zeros(600), seed=0, fractions=(0.7, 0.1, 0.2))
    compared = parts.compare(options, marks(options, designs), found, "rows", lambda *words: told.append(words[2]))
    assert compared == {"shared": {"validation": len(found[1]), "test": len(found[2])}}
    assert all("same inputs" in line and "--groups COLUMN" in line and "remove" not in line for line in told)


def test_equal_rows_of_few_possible_ones_are_no_surprise():
    rng = np.random.default_rng(0)
    options = SimpleNamespace(data=Path("t.csv"), validation=None, test=None)
    few, many = (Rows(rng.integers(n, size=(100, 3)).astype(np.float32), np.zeros((100, 0), np.int32)) for n in (3, 90))
    assert marks(options, few) is None
    assert len(marks(options, many)) == 100
