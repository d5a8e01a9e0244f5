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
    """A file for each class, whose jets have more particles from class to class."""
    folder = tmp_path_factory.mktemp("jetclass")
    for number, name in enumerate(jetclass.CLASSES):
        write_jetclass(folder / f"{name}_000.root", some_jets(JETS, 10 + 5 * number, number), name)
    return folder


def train(folder, files, pattern, *options):
    main(
        [
            *("train", "top-tagging", "--tagger", "topodnn", "--data", str(files / pattern), "--name", "run", "--runs"),
            *(str(folder), "--epochs", "2", *options),
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
    assert found["metrics"]["auc_macro"]["value"] > 0.6  # particles alone tell the classes apart
    rows = scores(run, files / "Hbb_000.root")
    assert len(rows) == JETS
    probabilities = np.array(
        [[float(row[name]) for name in row if any(c in name for c in jetclass.CLASSES)] for row in rows]
    )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    main(["evaluate", str(run), "--data", str(files / "*.root")])
