"""Plain tables through the command: classes and numbers, missing entries, categories, weights; what cannot be used in one line."""

import csv
import json
import shutil
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from jaxsci.errors import InputError
from jaxsci.tasks.tables import encoding, report, targets
from jaxsci.tasks.tables.encoding import Column
from tests.command import refused

ROWS = 600


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


def write(path, table):
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def columns(rows=ROWS):
    """A number, one that is missing in places, a small and a large category, and what follows from them."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, rows))
    site, city = rng.integers(3, size=rows), rng.integers(20, size=rows)
    gap = rng.random(rows) < 0.2
    value = 100 + 10 * x * x + 20 * (site == 1) + 2.0 * city + np.where(gap, 30, 3 * y)
    return {
        "x": x,
        "y": ["" if lacking else number for lacking, number in zip(gap, y, strict=True)],
        "site": [f"site {k}" for k in site],
        "city": [f"city {k}" for k in city],
        "value": value,
        "size": np.where(value > 135, "large", np.where(value > 120, "middle", "small")),
        "w": np.where(np.arange(rows) % 7 == 0, 0, 1 + np.arange(rows) % 2),
        "group": np.arange(rows) // 5,
    }


QUICK = ["--members", "2", "--epochs", "30", "--batch-size", "32", "--learning-rate", "1e-2"]


def evaluation(folder):
    return json.loads((Path(folder) / "evaluation.json").read_text())


def test_a_number_is_predicted_with_its_spread_and_interval(tmp_path, capsys):
    table = columns()
    write("t.csv", table)
    main(
        [
            *("train", "table", "--data", "t.csv", "--target", "value", "--ignore", "size", "--weights", "w"),
            *("--groups", "group", *QUICK),
        ]
    )
    folder = tmp_path / "runs" / "table" / "value-1"
    found = evaluation(folder)
    errors = {"network": found["metrics"], **found["baselines"]}
    rmse = {name: values["rmse"]["value"] for name, values in errors.items()}
    assert rmse["network"] < 0.7 * rmse["linear"] < 0.7 * rmse["constant"]  # x^2 is not linear
    assert 0.75 < found["metrics"]["coverage"]["value"] <= 1  # 0.9 expected of 120 rows, from 60
    config = json.loads((folder / "config.json").read_text())
    kinds = {c["name"]: (c["categories"] is None, c["missing"]) for c in config["data"]["columns"]}
    assert kinds == {"x": (True, False), "y": (True, True), "site": (False, False), "city": (False, False)}
    page = (folder / "report.html").read_text()
    assert "linear model" in page
    assert "y (numbers, some missing)" in page

    # Asked again, on the file and by a program; other columns may be absent.
    asked = {name: table[name][:9] for name in ("x", "y", "site", "city")}
    write("new.csv", asked)
    main(["predict", str(folder), "new.csv", "--out", "answers.csv"])
    with Path("answers.csv").open(encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    assert list(answers[0]) == ["prediction", "spread", "lower", "upper"]
    program = jaxsci.load(folder).predict(jaxsci.data.columns.read("new.csv"))
    np.testing.assert_allclose([float(row["prediction"]) for row in answers], program["prediction"])
    np.testing.assert_allclose(program["prediction"], table["value"][:9], atol=6 * rmse["network"])
    assert np.all(program["spread"] > 0)
    main(["evaluate", str(folder)])
    assert evaluation(folder) == found

    main(["export", str(folder), "--out", "value.jaxexport"])
    call = jax.export.deserialize(bytearray(Path("value.jaxexport").read_bytes())).call
    outputs = call(*jaxsci.load(folder).prepare(jaxsci.data.columns.read("new.csv")))  # [row, member]
    prediction = config["data"]["mean"] + config["data"]["scale"] * np.mean(outputs, 1)
    np.testing.assert_allclose(prediction, program["prediction"], rtol=1e-5)
    assert "--batch-size: expected at least 1" in refused(
        capsys, "export", folder, "--out", "no.jaxexport", "--batch-size", "0"
    )
    assert not Path("no.jaxexport").exists()

    main(["evaluate", str(folder), "--data", "t.csv"])
    assert evaluation(folder / "evaluations" / "t")["known"] >= 0.75 * ROWS


def test_classes_are_predicted_and_what_is_new_is_refused(tmp_path, capsys):
    table = columns()
    write("t.csv", table)
    main(["train", "table", "--data", "t.csv", "--target", "size", "--ignore", "value", "w", "group", *QUICK])
    folder = tmp_path / "runs" / "table" / "size-1"
    found = evaluation(folder)
    losses = {name: of["log_loss"]["value"] for name, of in {"network": found["metrics"], **found["baselines"]}.items()}
    assert losses["network"] < losses["linear"] < losses["constant"]
    share = np.unique(table["size"], return_counts=True)[1] / ROWS
    np.testing.assert_allclose(losses["constant"], -np.sum(share * np.log(share)), rtol=0.02)  # its entropy
    assert np.sum(found["confusion_matrix"]) == found["rows"]

    stopped = Path(shutil.copytree(folder, folder.with_name("stopped")))
    for name in ("weights.npz", "linear.npz", "evaluation.json"):
        (stopped / name).unlink()
    shutil.rmtree(max((stopped / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name)))
    main(["train", "table", "--resume", str(stopped)])
    assert evaluation(stopped) == found

    answers = jaxsci.load(folder).predict(jaxsci.data.columns.read("t.csv"))
    total = sum(answers[f"probability_{name}"] for name in ("large", "middle", "small"))
    np.testing.assert_allclose(total, 1, rtol=1e-6)
    assert set(answers["prediction"]) <= {"large", "middle", "small"}

    def ask(**changes):
        new = {name: list(table[name][:4]) for name in ("x", "y", "site", "city", "size")}
        for name, entry in changes.items():
            new[name][2] = entry
        write("new.csv", new)

    for changes, words in (
        ({"site": "site 9"}, "expected a category of the training rows in the column site, got 'site 9' in row 2"),
        ({"x": ""}, "expected an entry in every row of the column x, as in training, got none in row 2"),
        ({"x": "many"}, "expected numbers in the column x, got text such as 'many' in row 2"),
    ):
        ask(**changes)
        assert words in refused(capsys, "predict", folder, "new.csv", "--out", "answers.csv")
        assert not Path("answers.csv").exists()
    ask(size="huge")
    assert "got 'huge' in row 2" in refused(capsys, "evaluate", folder, "--data", "new.csv")


BAD = {
    "text for a number": (
        {"x": ["a", *["1"] * 99]},
        (),
        "expected numbers in the column x, got text such as 'a' in row 0",
    ),
    "constant target": ({"z": ["1"] * 100}, (), "expected a target that varies, got '1' in every row of z"),
    "no target": ({"z": ["", *map(str, np.arange(99) / 7)]}, (), "expected a target in every row, got none in row 0"),
    "many categories": (
        {"x": [f"n{i}" for i in range(100)]},
        (),
        "expected at most 50 categories in the column x, got 100 in 100 rows; if it is an identifier, leave it out by --ignore x",
    ),
    "infinite": ({"x": ["inf", *["1"] * 99]}, (), "expected finite numbers in the column x, got infinity in row 0"),
    "negative weight": ({"x": np.arange(100) - 1}, ("--weights", "x"), "got -1 in row 0"),
    "no weight": (
        {"x": [0] * 100},
        ("--weights", "x"),
        "expected weights of at least 0 in x, some above, got 0 in every",
    ),
    "no such column": ({"x": range(100)}, ("--groups", "k"), "expected a column k, found x, u, z; check the name"),
    "no column left": ({"x": range(100)}, ("--ignore", "x", "u"), "expected columns besides the target"),
    "few of a class": (
        {"z": ["b", *["a"] * 99], "x": range(100)},
        (),
        "expected enough examples of class 1 for training, validation and test, got 1",
    ),
    "text as a number": (
        {"z": ["a", "b"] * 50},
        ("--kind", "regression"),
        "expected a number in every row of z, got text",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(encoding, "MOST", 50)
    changes, options, words = BAD[name]
    table = {"x": np.arange(100), "u": np.arange(100) / 3, "z": np.arange(100) / 7, **changes}
    write("t.csv", table)
    line = refused(capsys, "train", "table", "--data", "t.csv", "--target", "z", *options)
    assert words in line
    assert not (tmp_path / "runs").exists()


def test_numbers_are_standardized_and_gaps_filled_by_the_training_part():
    table = {"a": np.array([1.0, 2.0, 6.0, np.nan, 100.0]), "b": np.array(["p", "q", "p", "", "q"])}
    learned = encoding.learn("t", table, np.arange(4), ())
    scale = np.std([1, 2, 6])
    assert learned == [Column("a", None, True, 2.0, 3.0, scale), Column("b", ("p", "q"), True)]
    numbers, codes = encoding.encode("t", learned, table)
    np.testing.assert_allclose(numbers[:, 0], (np.array([1, 2, 6, 2, 100]) - 3) / scale, rtol=1e-6)
    np.testing.assert_array_equal(numbers[:, 1], [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(numbers[:, 2:], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert codes.shape == (5, 0)


def test_what_is_measured_is_weighted():
    values, target, weights = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 4.0]), np.array([2.0, 1.0, 0.0])
    found = report.regressed(values, target, weights, half_width=1.0)
    np.testing.assert_allclose(found["rmse"]["value"], np.sqrt(4 / 3))
    np.testing.assert_allclose(found["mae"]["value"], 2 / 3)
    np.testing.assert_allclose(found["r2"]["value"], 1 - (4 / 3) / 2)  # the variance of 1, 1, 4
    np.testing.assert_allclose(found["coverage"]["value"], 2 / 3, rtol=1e-6)
    found = report.classified(np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]]), np.array([0, 0, 1]), weights)
    np.testing.assert_allclose(found["accuracy"]["value"], 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["log_loss"]["value"], -(2 * np.log(0.8) + np.log(0.4)) / 3)


@pytest.mark.parametrize("form", ["{}(1)", "{}±1", "~{}", "{} K", "{}%", "−{}", "1 {:03d}", "2020-01-{:02d}", "{}-{}"])
def test_numbers_with_something_to_them_are_no_categories(form):
    texts = np.array([form.format(i, i + 1) for i in range(24)])
    with pytest.raises(InputError, match="expected plain numbers, or categories, in the column a"):
        encoding.learn("t", {"a": texts}, np.arange(24), ())
    assert encoding.learn("t", {"a": texts}, np.arange(24), ("a",))[0].categories is not None
    with pytest.raises(InputError, match="--kind classification"):
        targets.classes_of("t", "a", texts, "auto")


@pytest.mark.parametrize("odd", ["-", "<3", "#DIV/0!", "failed"])
def test_a_target_of_numbers_with_one_text_among_them_is_no_class(odd):
    with pytest.raises(InputError, match="such as"):
        targets.classes_of("t", "y", np.array([odd, *(str(i / 2) for i in range(24))]), "auto")


def test_classes_that_differ_by_case_are_refused_unless_they_are_meant():
    values = np.array(["top", "Top", "QCD"])
    with pytest.raises(InputError, match="differ by more than case in y, got"):
        targets.classes_of("t", "y", values, "auto")
    assert len(targets.classes_of("t", "y", values, "classification")) == 3
