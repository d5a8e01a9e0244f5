"""Files in the layout of JetClass through the command: tops against QCD jets, all ten classes, and streamed."""

import csv
import json

import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data.jets.files import jetclass
from tests.data.jets.files.small import some_jets, write_jetclass

JETS = 60  # of a class


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file for each class, whose jets have three particles more from class to class."""
    folder = tmp_path_factory.mktemp("jetclass")
    for number, name in enumerate(jetclass.CLASSES):
        sample = some_jets(JETS, 400, number)
        sample[:, 1 + 3 * number :] = 0
        write_jetclass(folder / f"{name}_000.root", sample, name)
    return folder


def train(folder, files, pattern, *options):
    main(
        [
            *("train", "top-tagging", "--tagger", "topodnn", "--data", str(files / pattern), "--name", "run", "--runs"),
            *(str(folder), "--epochs", "40", "--batch-size", "32", "--learning-rate", "0.01", *options),
        ]
    )
    return folder / "top-tagging" / "run"


def scores(run, file):
    main(["predict", str(run), str(file), "--out", str(run / "scores.csv")])
    with (run / "scores.csv").open() as table:
        return list(csv.DictReader(table))


@pytest.mark.slow
@pytest.mark.parametrize("stream", [(), ("--stream", "--memory", "1.5GB", "--workers", "0")])
def test_tops_against_qcd_jets(tmp_path, files, stream):
    run = train(tmp_path, files, "{Tbqq,QCD}_*.root", *stream)
    found = json.loads((run / "evaluation.json").read_text())
    assert found["jets"] == {"QCD": 15, "top": 15}  # a quarter of each class
    assert found["metrics"]["auc"]["value"] > 0.9
    assert len(scores(run, files / "QCD_000.root")) == JETS
    main(["evaluate", str(run), "--data", str(files / "{Tbqq,QCD}_*.root")])
    (other,) = (run / "evaluations").iterdir()
    again = json.loads((other / "evaluation.json").read_text())
    assert again["jets"] == {"QCD": JETS, "top": JETS}


@pytest.mark.slow
def test_all_ten_classes(tmp_path, files):
    names = ",".join(jetclass.CLASSES)
    run = train(tmp_path, files, "*.root", "--class-names", names, "--signal-class", "Tbqq")
    found = json.loads((run / "evaluation.json").read_text())
    assert found["jets"] == dict.fromkeys(jetclass.CLASSES, 15)
    assert found["metrics"]["auc_macro"]["value"] > 0.7
    rows = scores(run, files / "Hbb_000.root")
    assert len(rows) == JETS
    probabilities = np.array([[float(row[f"probability_{name}"]) for name in jetclass.CLASSES] for row in rows])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    assert jetclass.CLASSES[probabilities.mean(axis=0).argmax()] == "Hbb"
    main(["evaluate", str(run), "--data", str(files / "*.root")])
