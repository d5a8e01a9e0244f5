"""The study of a run against logistic regression by hand: the tagger `mass` has two parameters."""

import json
import re

import jax
import numpy as np
import pytest

from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.data.split import split
from jaxsci.tasks.study import parts
from jaxsci.tasks.study.subject import some
from jaxsci.tasks.table import load
from jaxsci.tasks.top_tagging.samples import CLASSES, FRACTIONS
from tests.command import refused

NUMBER, MOST = 400, 150


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    options = ["--max-jets", str(NUMBER), "--epochs", "1", "--batch-size", "32", "--runs", str(root)]
    main(["train", "top-tagging", "--tagger", "mass", *options])
    return root / "top-tagging" / "mass-1"


def test_a_study_that_is_stopped_and_goes_on_says_what_logistic_regression_does(run, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts, "influences", stopped)
        with pytest.raises(SystemExit, match="130"):
            main(["study", str(run), "--max-examples", str(MOST)])
    assert not (run / "study.json").exists()
    with monkeypatch.context() as patch:  # what was finished is not computed again
        patch.setattr(parts, "spectrum", stopped)
        patch.setattr(parts, "pulls", stopped)
        capsys.readouterr()
        main(["study", str(run), "--max-examples", str(MOST), "--json"])
    found = json.loads((run / "study.json").read_text())
    assert json.loads(capsys.readouterr().out) == found
    assert not (run / "study").exists()

    trained = load(run)
    sample = jets.read(jets.embedded(), limit=NUMBER)
    train, validation = (some(part, MOST, 1) for part in split(sample.labels, seed=1, fractions=FRACTIONS)[:2])
    assert (found["training examples"], found["validation examples"]) == (MOST, len(validation))

    def design(rows):
        x = np.asarray(trained.prepare(sample.constituents[rows]), np.float64)
        return np.concatenate([np.ones((len(rows), 1)), x], axis=1)

    weights = np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(trained.params)])
    f, v = design(train), design(validation)
    p, q = (1 / (1 + np.exp(-d @ weights)) for d in (f, v))
    hessian = (f.T * (p * (1 - p))) @ f / MOST
    eigenvalues = np.linalg.eigvalsh(hessian)[::-1]
    np.testing.assert_allclose([e["value"] for e in found["hessian"]["largest"]], eigenvalues, rtol=1e-4)
    np.testing.assert_allclose(found["hessian"]["smallest"]["value"], eigenvalues[-1], rtol=1e-3)
    np.testing.assert_allclose(found["hessian"]["trace"]["value"], eigenvalues.sum(), rtol=1e-4)

    best = found["sharpness"][-1]
    np.testing.assert_allclose(best["value"], eigenvalues[0], rtol=1e-4)
    np.testing.assert_allclose(best["loss"], -np.log(np.where(sample.labels[train] == 1, p, 1 - p)).mean(), rtol=1e-4)
    assert [entry["moment"] for entry in found["sharpness"]] == [
        "before the training",
        "after the last epoch",
        "at the best epoch",
    ]

    slopes = (p - sample.labels[train])[:, None] * f
    norms = np.linalg.norm(slopes, axis=1)
    tops = np.quantile(norms[sample.labels[train] == 1], 0.5)
    np.testing.assert_allclose(found["gradient norms"]["top"]["50%"], tops, rtol=1e-4)
    mean = slopes.mean(0)
    scatter = (norms**2).mean() - mean @ mean
    signal = mean @ mean - scatter / (MOST - 1)
    scale = scatter * MOST / (MOST - 1) / signal
    if signal > 0:
        np.testing.assert_allclose(found["noise scale"]["value"], scale, rtol=1e-3)
    else:
        assert found["noise scale"]["value"] is None

    towards = ((q - sample.labels[validation])[:, None] * v).mean(0)
    influence = slopes @ np.linalg.solve(hessian + 0.01 * eigenvalues[0] * np.eye(2), towards) / MOST
    order = np.argsort(influence)
    for name, rows in (("harmful", order[:8]), ("helpful", order[::-1][:8])):
        entries = found["influence"][name]
        assert [entry["jet"] for entry in entries] == train[rows].tolist()
        np.testing.assert_allclose([entry["influence"] for entry in entries], influence[rows], rtol=1e-3)
        np.testing.assert_allclose([entry["probability of top"] for entry in entries], p[rows], rtol=1e-4)
        assert [entry["label"] for entry in entries] == [CLASSES[int(label)] for label in sample.labels[train[rows]]]

    losses = -np.log(np.where(sample.labels[train] == 1, p, 1 - p))
    suspects = np.argsort(-losses)[:8]
    assert [entry["jet"] for entry in found["suspects"]] == train[suspects].tolist()
    np.testing.assert_allclose([entry["loss"] for entry in found["suspects"]], losses[suspects], rtol=1e-4)

    page = (run / "study.html").read_text()
    assert len(re.findall("<img", page)) == 3
    assert f">{found['influence']['harmful'][0]['jet']:,}<" in page
    assert {"study_jets.png", "study_spectrum.png"} <= {path.name for path in (run / "figures").iterdir()}
    report = (run / "report.html").read_text()
    assert "Study of" not in report


def test_what_cannot_be_studied_is_refused(run, tmp_path, capsys):
    before = (run / "study.json").read_bytes() if (run / "study.json").exists() else None
    assert "--max-examples: expected at least 2" in refused(capsys, "study", run, "--max-examples", 1)
    assert "expected a file of a run folder" in refused(capsys, "study", tmp_path)
    assert before == ((run / "study.json").read_bytes() if (run / "study.json").exists() else None)
