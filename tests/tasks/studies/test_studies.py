"""Studies of images, of superconductors and of a table: what is said of the examples is what they are."""

import csv
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data.split import split
from jaxsci.runs.task import Session
from jaxsci.tasks.images import study
from jaxsci.tasks.images.rows import FRACTIONS
from jaxsci.tasks.table import load
from tests.command import refused
from tests.tasks.superconductors.superconductor_files import write_tables

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def studied(capsys, folder, *options):
    capsys.readouterr()
    main(["study", str(folder), *options, "--json"])
    found = json.loads(capsys.readouterr().out)
    page = (folder / "study.html").read_text()
    assert found == json.loads((folder / "study.json").read_text())
    assert "How single" in page
    return found, page


def as_users_compile(*words):
    """Run a command. At level 0, with which tests compile, the Hessian of a maximum over windows may be NaN: see tests of pooling."""
    subprocess.run([sys.executable, "-m", "jaxsci", *map(str, words)], env={**os.environ, "XLA_FLAGS": ""}, check=True)


def test_images_with_wrong_labels_are_the_most_harmful(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(240) % 3
    x = rng.random((240, 12, 12)) * 0.3 + (y == 1)[:, None, None] * np.eye(12) + (y == 2)[:, None, None] * 0.5
    given = y.copy()
    wrong = rng.permutation(240)[:8]
    given[wrong] = (y[wrong] + 1) % 3
    np.savez(tmp_path / "mine.npz", x=x.astype(np.float32), y=given)
    images = ["train", "images", "--data", "mine.npz", "--batch-size", "32"]
    as_users_compile(*images, "--epochs", "8", "--gradient-noise")
    folder = tmp_path / "runs" / "images" / "cnn-1"
    as_users_compile("study", folder)
    found, page = json.loads((folder / "study.json").read_text()), (folder / "study.html").read_text()
    harmful = found["influence"]["harmful"]
    assert all(entry["label"] == given[entry["image"]] for entry in harmful)
    assert sum(entry["image"] in wrong for entry in harmful[:4]) >= 3
    part = split(given, seed=1, fractions=FRACTIONS)[0]
    # The classes can be told exactly, so that no wrong label of the training part is missing.
    assert set(wrong) & set(part) <= {entry["image"] for entry in found["suspects"]}
    assert set(found["gradient norms"]) == {"class 0", "class 1", "class 2"}
    assert "study_images.png" in {path.name for path in (folder / "figures").iterdir()}
    assert "Sharpness over the training" in page
    record = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    assert {"validation_noise_scale", "validation_gradient_norm"} <= set(record)
    as_users_compile(*images, "--model", "autoencoder", "--epochs", "2")
    folder = tmp_path / "runs" / "images" / "autoencoder-1"
    as_users_compile("study", folder, "--max-examples", "60")
    found = json.loads((folder / "study.json").read_text())
    assert found["training examples"] == 60
    assert "mean squared error" in found["influence"]["harmful"][0]


def test_a_balanced_run_is_studied_by_the_loss_of_its_training_and_by_the_names_of_its_classes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.permutation(["cat"] * 90 + ["dog"] * 20 + ["owl"] * 10)
    np.savez(tmp_path / "mine.npz", x=rng.random((120, 4, 4), np.float32), y=y)
    options = ["--data", "mine.npz", "--model", "dense", "--epochs", "1", "--batch-size", "32", "--balance"]
    main(["train", "images", *options])
    subjects = []
    monkeypatch.setattr(study.write, "write", lambda folder, subject, session: subjects.append(subject))
    folder = tmp_path / "runs" / "images" / "dense-1"
    for number in (20, 120):
        study.study(folder, number, Session(tmp_path, None))
    few, subject = subjects
    assert list(subject.classes) == ["cat", "dog", "owl"]
    number = len(subject.train.weight)
    for one in (few, subject):
        for name, of in one.classes.items():
            expected = number / (3 * subject.classes[name].sum())  # of the whole part, also where few are studied
            np.testing.assert_allclose(one.train.weight[of], expected, rtol=1e-6)
    sums = [subject.validation.weight[subject.validation.y == k].sum() for k in range(3)]
    np.testing.assert_allclose(sums, len(subject.validation.weight) / 3, rtol=1e-6)
    entries = few.entries(np.arange(20), np.eye(3)[np.arange(20) % 3])
    assert all(entry["label"] == y[entry["image"]] for entry in entries)
    assert [entry["answer"] for entry in entries[:4]] == ["cat", "dog", "owl", "cat"]
    assert "same weight" in few.about


def test_the_row_that_is_off_is_the_most_harmful(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = 3 * x + 0.1 * rng.normal(size=300)
    y[:3] = -40
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("x", "y"), *zip(x, y, strict=True)])
    options = ["--target", "y", "--members", "2", "--epochs", "20", "--batch-size", "32"]
    main(["train", "table", "--data", "t.csv", *options])
    folder = tmp_path / "runs" / "table" / "y-1"
    found, page = studied(capsys, folder)
    rows = {entry["row"] for kind in found["influence"].values() for entry in kind}
    assert rows & {0, 1, 2}
    trained = load(folder)
    first = jax.tree.map(lambda leaf: leaf[0], trained.params)
    entry = found["influence"]["harmful"][0]
    row = jax.tree.map(lambda leaf: leaf[0], trained.prepare({"x": x[[entry["row"]]]}))
    data = trained.config["data"]
    expected = data["mean"] + data["scale"] * float(trained.model.apply(first, row))
    np.testing.assert_allclose(entry["predicted"], expected, rtol=1e-5)
    assert entry["y"] == y[entry["row"]]
    assert "first of the 2 networks" in page


def test_superconductors_by_their_formulas_with_three_intervals(tmp_path, capsys, monkeypatch):
    jax.devices()
    write_tables(tmp_path / "data")
    monkeypatch.setenv("JAXSCI_DATA", str(tmp_path / "data"))
    quick = ["--members", "2", "--epochs", "3", "--batch-size", "64", "--influence", "0"]
    main(["train", "superconductors", *quick])
    folder = tmp_path / "runs" / "superconductors" / "tc-random-1"
    found, page = studied(capsys, folder, "--max-examples", "100")
    methods = found["intervals"]["methods"]
    assert set(methods) == {"Laplace", "Gaussian process", "ensemble"}
    assert all(0 <= of["coverage"]["value"] <= 1 and of["width"] > 0 for of in methods.values())
    assert found["intervals"]["number"] == 32
    evaluation = json.loads((folder / "evaluation.json").read_text())["metrics"]
    np.testing.assert_allclose(methods["ensemble"]["coverage"]["value"], evaluation["coverage"]["value"], rtol=1e-6)
    np.testing.assert_allclose(methods["ensemble"]["rmse"], evaluation["rmse"]["value"], rtol=1e-5)
    for entry in found["influence"]["harmful"]:
        assert entry["formula"] in page
    main(["train", "superconductors", "--target", "class", "--split", "composition", *quick])
    found, _ = studied(capsys, tmp_path / "runs" / "superconductors" / "class-composition-1", "--max-examples", "60")
    assert set(found["gradient norms"]) == {"superconductors", "others"}
    assert "intervals" not in found
    assert "--max-examples: expected at least 2" in refused(capsys, "study", folder, "--max-examples", 1)
