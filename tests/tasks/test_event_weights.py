"""Weights of jets and rows: in the training and in what is measured; equal ones change nothing, impossible ones are refused."""

import csv
import json
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.runs import binary_evaluation
from tests.command import refused, write_jets

JETS = 200
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


def values(found):
    return {name: of["value"] for name, of in found.items() if isinstance(of, dict)}


def test_measures_count_an_example_of_weight_two_twice():
    labels = np.arange(JETS) % 2
    logits = labels + rng.normal(size=JETS)
    counts = 2 * rng.permutation(np.arange(JETS) % 2)  # as many in all as there are: the same programs
    repeated = binary_evaluation.classification(np.repeat(logits, counts), np.repeat(labels, counts))
    weighted = binary_evaluation.classification(logits, labels, counts.astype(float))
    scaled = binary_evaluation.classification(logits, labels, 1e-6 * counts)
    for name, value in values(repeated).items():
        assert values(weighted)[name] == pytest.approx(value, rel=1e-5), name
        assert values(scaled)[name] == pytest.approx(value, rel=1e-5), name
    assert np.sum(weighted["confusion_matrix"]) == JETS  # examples, not weights
    # Wilson's interval of the effective number, at one standard deviation (0.68: 0.99446).
    part, number, z = weighted["accuracy"]["value"], counts.sum() ** 2 / np.square(counts).sum(), 0.994458
    middle = (part + z**2 / 2 / number) / (1 + z**2 / number)
    half = z * np.sqrt(part * (1 - part) / number + (z / 2 / number) ** 2) / (1 + z**2 / number)
    ends = weighted["accuracy"]["lower"], weighted["accuracy"]["upper"]
    np.testing.assert_allclose(ends, [middle - half, middle + half], rtol=1e-4)
    # Examples that are there twice tell less than two different ones: the error is larger by the root of 2.
    wide, narrow = (of["auc"]["upper"] - of["auc"]["lower"] for of in (weighted, repeated))
    assert wide == pytest.approx(np.sqrt(2) * narrow, rel=0.05)


def test_equal_weights_are_no_weights():
    labels = np.arange(JETS) % 2
    logits, baseline = rng.normal(size=(2, JETS))
    plain = binary_evaluation.classification(logits, labels)
    key = jax.random.key(0)
    for weights in (np.ones(JETS), np.full(JETS, 0.1)):
        assert binary_evaluation.classification(logits, labels, weights) == plain
        assert binary_evaluation.gain(logits, baseline, labels, key, weights) == binary_evaluation.gain(
            logits, baseline, labels, key
        )


def add(path, **arrays):
    with h5py.File(path, "a") as file:
        for name, array in arrays.items():
            if name in file:
                del file[name]
            file[name] = array


def evaluation(name):
    return json.loads(Path("runs/top-tagging", name, "evaluation.json").read_text())


def weighted_auc(scores, labels, weights):
    """The weight of the pairs of signal and background in right order, ties half, in that of all pairs."""
    above = np.sign(scores[labels == 1][:, None] - scores[labels == 0][None]) / 2 + 0.5
    pairs = weights[labels == 1][:, None] * weights[labels == 0][None]
    return float((above * pairs).sum() / pairs.sum())


@pytest.mark.slow
def test_jets_with_weights_through_the_command(capsys):
    sample = jets.read(jets.embedded(), limit=500)
    rows = {"train": slice(0, 300), "test": slice(300, 500)}
    weights = rng.exponential(2.0, 500)
    for name, part in rows.items():
        write_jets(f"{name}.h5", sample.constituents[part], sample.labels[part])
        add(f"{name}.h5", mc_weight=weights[part], same=np.ones(part.stop - part.start))
    train = ["train", "top-tagging", "--tagger", "mass", "--epochs", "2", "--data", "train.h5", "--test", "test.h5"]
    main([*train, "--name", "plain"])
    assert "train.h5 has mc_weight, which is not used; --weights mc_weight does" in "".join(capsys.readouterr())
    assert "mc_weight of the file: not used" in Path("runs/top-tagging/plain/report.html").read_text()
    main([*train, "--name", "same", "--weight-column", "same"])
    plain, same = evaluation("plain"), evaluation("same")
    for name in ("metrics", "baseline"):
        assert same[name] == plain[name]
    trained = {name: Path(f"runs/top-tagging/{name}/weights.npz").read_bytes() for name in ("plain", "same")}
    assert trained["same"] == trained["plain"]

    main([*train, "--name", "own", "--weights", "mc_weight"])
    assert Path("runs/top-tagging/own/weights.npz").read_bytes() != trained["plain"]
    main(["predict", "runs/top-tagging/own", "test.h5", "--out", "scores.npz"])
    logits = np.load("scores.npz")["logit"]
    found = evaluation("own")
    labels, own = sample.labels[rows["test"]], weights[rows["test"]]
    assert found["metrics"]["auc"]["value"] == pytest.approx(weighted_auc(logits, labels, own), rel=1e-5)
    right = (logits > 0) == labels
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.average(right, weights=own), rel=1e-5)
    top = own[labels == 1]
    assert found["weights"]["effective"]["top"] == pytest.approx(top.sum() ** 2 / np.square(top).sum())
    assert "effective numbers of jets" in Path("runs/top-tagging/own/report.html").read_text()
    main(["evaluate", "runs/top-tagging/own"])
    assert evaluation("own") == found

    main([*train, "--name", "named", "--class-names", "light,heavy"])
    page = Path("runs/top-tagging/named/report.html").read_text()
    assert "Tagging heavy against light with mass" in page
    assert "A top quark" not in page
    assert "A top quark" in Path("runs/top-tagging/plain/report.html").read_text()
    add("test.h5", mc_weight=labels.astype(float))
    line = refused(capsys, "evaluate", "runs/top-tagging/own", "--data", "test.h5")
    assert "test.h5: expected weights above 0 for jets of each class, got none for QCD" in line

    for name, bad, words in (
        (
            "negative",
            np.where(np.arange(300) == 7, -1, 1.0),
            "weights of at least 0, got negative ones, first in jet 7",
        ),
        ("nan", np.where(np.arange(300) == 7, np.nan, 1), "finite weights, got NaN or infinity, first in jet 7"),
        ("infinite", np.where(np.arange(300) == 7, np.inf, 1), "finite weights, got NaN or infinity, first in jet 7"),
        ("zero", np.zeros(300), "expected weights with a positive sum, got 0"),
        ("huge", np.full(300, 1e307), "expected weights with a positive sum, got inf"),
        ("tops", np.asarray(sample.labels[:300], float), "got none for QCD"),
        ("short", np.ones(299), "expected the weights short, one number a jet"),
    ):
        add("train.h5", **{name: bad})
        line = refused(capsys, *train[:8], "--weights", name)
        assert "train.h5" in line
        assert words in line
    assert "--weights: expected jets that are read whole" in refused(capsys, *train, "--weights", "same", "--stream")


@pytest.mark.slow
def test_rows_with_weights_have_a_weighted_area(capsys):
    x, y = rng.normal(size=(2, 300))
    table = {"x": x, "kind": np.where(x + y > 0, "up", "down"), "w": rng.exponential(2.0, 300)}
    with Path("t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([table, *zip(*table.values(), strict=True)])
    train = ["train", "table", "--data", "t.csv", "--target", "kind", "--members", "1", "--epochs", "2"]
    main([*train, "--weights", "w"])
    folder = Path("runs/table/kind-1")
    found = json.loads((folder / "evaluation.json").read_text())["metrics"]["auc"]
    assert found["lower"] < found["value"] < found["upper"]
    main(["predict", str(folder), "t.csv", "--out", "answers.npz"])
    scores = np.load("answers.npz")["probability_up"]
    main(["evaluate", str(folder), "--data", "t.csv"])
    all_rows = json.loads((folder / "evaluations" / "t" / "evaluation.json").read_text())["metrics"]["auc"]["value"]
    assert all_rows == pytest.approx(weighted_auc(scores, table["kind"] == "up", table["w"]), rel=1e-5)
    capsys.readouterr()
    main(train)
    assert "the column w is an input; --weights w weights the rows by it" in "".join(capsys.readouterr())
