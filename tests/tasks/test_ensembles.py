"""Ensembles through the command: the mean of the probabilities, its spread, the members beside it, and going on after a kill."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.runs import weights
from jaxsci.tasks import ensembles
from tests.command import refused, write_jets

QUICK = ["--max-jets", "400", "--batch-size", "32"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A run of three networks that only tests read."""
    root = tmp_path_factory.mktemp("ensemble") / "runs"
    options = ["--tagger", "mass", "--members", "3", "--epochs", "2", "--runs", str(root)]
    main(["train", "top-tagging", *QUICK, *options])
    return root / "top-tagging" / "mass-1"


def arrays(folder):
    with np.load(folder / weights.FILE) as file:
        return {name: file[name] for name in file.files if name != "header"}


def evaluation(folder):
    return json.loads((Path(folder) / "evaluation.json").read_text())


def test_the_mean_is_that_of_the_probabilities():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(50, 4)) * 5, [[400, 400, 400, 400], [-400, -300, -400, -400], [0, 0, 0, 0]]])
    answers = ensembles.combined(z)
    p = 1 / (1 + np.exp(-z.astype(np.longdouble)))
    mean = p[:50].mean(1)
    np.testing.assert_allclose(answers.outputs[:50], np.log(mean / (1 - mean)).astype(float), rtol=1e-9)
    # log(1/4 exp(-300)): in float64 the probability itself is there, its complement is 1.
    np.testing.assert_allclose(answers.outputs[50:], [400, -300 - np.log(4), 0], atol=1e-9)
    np.testing.assert_allclose(answers.spread, p.std(1).astype(float), atol=1e-12)

    z = rng.normal(size=(50, 3, 4)) * 5
    answers = ensembles.combined(z)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    np.testing.assert_allclose(ensembles.probabilities(answers.outputs), p.mean(1), rtol=1e-12)
    best = p.mean(1).argmax(1)
    np.testing.assert_allclose(answers.spread, [p[i, :, k].std() for i, k in enumerate(best)], rtol=1e-9)
    y = rng.integers(4, size=50)
    losses = -np.log(p[np.arange(50), :, y]).mean(0)
    assert -answers.outputs[np.arange(50), y].mean() < losses.mean()  # Jensen


def test_what_is_said_of_the_members():
    members = np.array([[1.0, 3.0], [2.0, 5.0]])
    found = ensembles.measured(lambda x: {"m": {"value": float(x.mean())}, "n": [1]}, members, np.array([0.1, 0.3]))
    assert found["members"] == 2
    assert found["disagreement"]["value"] == pytest.approx(0.2)
    assert found["of_members"] == {"m": {"value": 2.75, "deviation": pytest.approx(1.25 * 2**0.5), "each": [1.5, 4.0]}}
    infinite = ensembles.measured(lambda x: {"m": {"value": None}}, members, members[:, 0])["of_members"]["m"]
    assert (infinite["value"], infinite["deviation"]) == (None, None)


def test_an_ensemble_of_taggers_answers_with_the_mean_and_its_spread(ensemble, tmp_path, capsys):
    found = evaluation(ensemble)
    assert found["members"] == 3
    losses = found["of_members"]["log_loss"]
    assert len(set(losses["each"])) == 3  # they differ
    assert losses["value"] == pytest.approx(np.mean(losses["each"]))
    assert found["metrics"]["log_loss"]["value"] < losses["value"]  # Jensen
    config = json.loads((ensemble / "config.json").read_text())
    assert (config["options"]["members"], config["training"]["members"]) == (3, 3)
    for leaf in arrays(ensemble).values():
        assert leaf.shape[0] == 3
    first, second, _ = next(array for name, array in arrays(ensemble).items() if "kernel" in name)
    assert not np.allclose(first, second)
    page = (ensemble / "report.html").read_text()
    assert "The members" in page
    assert "mass × 3 members (this run)" in page
    assert (ensemble / "figures" / "members_calibration.png").exists()

    sample = jets.read(jets.embedded(), limit=60)
    own = write_jets(tmp_path / "own.h5", sample.constituents, sample.labels)
    main(["predict", str(ensemble), own, "--out", "scores.npz"])
    trained = jaxsci.load(ensemble)
    x = trained.prepare(sample.constituents)
    each = [jax.tree.map(lambda leaf, m=m: leaf[m], trained.params) for m in range(3)]
    single = [ensembles.answering(trained.model, params, members=1)(x).outputs for params in each]
    p = 1 / (1 + np.exp(-np.array(single, np.float64)))
    with np.load("scores.npz") as scores:
        assert set(scores.files) == {"logit", "probability", "spread"}
        np.testing.assert_allclose(scores["probability"], p.mean(0), rtol=1e-4)
        np.testing.assert_allclose(scores["spread"], p.std(0), atol=1e-6)
    capsys.readouterr()
    main(["compare", str(ensemble)])
    main(["runs", "--runs", str(ensemble.parents[1])])
    shown = capsys.readouterr().out
    assert "mass-1 × 3 members" in shown
    assert "  members  " in shown
    assert "expected a run of one network, got an ensemble of 3" in refused(capsys, "study", ensemble)


def test_an_ensemble_that_was_killed_goes_on_bit_for_bit(ensemble, tmp_path):
    stopped = Path(shutil.copytree(ensemble, tmp_path / "stopped"))
    for name in (weights.FILE, "evaluation.json", "report.html"):
        (stopped / name).unlink()
    shutil.rmtree(max((stopped / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name)))
    main(["train", "top-tagging", "--resume", str(stopped)])
    for (name, one), other in zip(arrays(ensemble).items(), arrays(stopped).values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert evaluation(stopped) == evaluation(ensemble)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--members", "0"], "--members: expected a number of networks of at least 1, got 0"),
        (["--members", "-2"], "--members: expected a number of networks of at least 1, got -2"),
        (["--members", "many"], "--members: expected a whole number, got many"),
        (["--members", "2", "--devices", "1"], "--members: expected one network with --devices"),
    ],
)
def test_numbers_of_members_that_cannot_be(words, line, tmp_path, capsys):
    assert line in refused(capsys, "train", "top-tagging", *words)
    assert not (tmp_path / "runs").exists()
