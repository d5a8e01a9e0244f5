"""Anomalous jets: densities, scores at equal mass, baselines, and the command from training to prediction."""

import json
import shutil

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

import jaxsci
from jaxsci.cli.main import main
from jaxsci.data import jets
from jaxsci.runs.task import silent
from jaxsci.tasks.anomalies import Options, baselines, detectors, evaluation, forest, jobs, task
from tests.command import refused

QUICK = ["--max-jets", "600", "--epochs", "2", "--batch-size", "64"]


def test_both_directions_are_for_one_process(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jax, "process_count", lambda: 2)  # they part where the training of the first one is over
    line = refused(capsys, "train", "anomalies", *QUICK)
    assert "--normal: expected one class in several processes, qcd or top, got both" in line
    assert not (tmp_path / "runs").exists()


def test_the_mixture_is_a_density(x64):
    rng = np.random.default_rng(0)
    components, features = 3, 4
    params = {
        "logits": jnp.asarray(rng.normal(size=components)),
        "means": jnp.asarray(rng.normal(size=(components, features))),
        "log_deviations": jnp.asarray(0.3 * rng.normal(size=(components, features))),
        "shears": jnp.asarray(rng.normal(size=(components, features, features))),
    }
    x = jnp.asarray(rng.normal(size=(5, features)))
    fractions = np.exp(params["logits"]) / np.exp(params["logits"]).sum()
    expected = np.zeros(5)
    for k in range(components):
        deviation = np.exp(params["log_deviations"][k]) + 0.02  # no component narrower than that
        root = (np.eye(features) + np.tril(params["shears"][k], -1)) / deviation
        covariance = np.linalg.inv(root.T @ root)
        expected += fractions[k] * stats.multivariate_normal(params["means"][k], covariance).pdf(x)
    found = jax.jit(jax.vmap(detectors.log_density, in_axes=(None, 0)))(params, x)
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-10)


def test_a_score_that_is_the_mass_has_half_the_area_at_equal_mass():
    rng = np.random.default_rng(2)
    mass = rng.uniform(10, 200, 20_000)
    anomalous = rng.random(20_000) < mass / 250
    direction = evaluation.Direction("qcd", mass + rng.normal(size=20_000), {"chance": rng.normal(size=20_000)})
    found = evaluation.measure(direction, anomalous, mass)
    assert found["detector"]["auc"]["value"] > 0.7
    assert abs(found["detector"]["auc_at_equal_mass"]["value"] - 0.5) < 0.03  # mass still rises within a bin
    area = found["chance"]["auc_at_equal_mass"]
    assert abs(area["value"] - 0.5) < 3 * (area["upper"] - area["value"])


def test_areas_in_bins_are_those_of_sklearn():
    rng = np.random.default_rng(3)
    mass, scores, anomalous = rng.uniform(0, 1, 2000), rng.normal(size=2000).astype(np.float32), rng.random(2000) < 0.4
    bins = evaluation.at_equal_mass(scores, anomalous, mass)
    for b in range(evaluation.BINS):
        inside = (mass >= bins.edges[b]) & (mass <= bins.edges[b + 1])
        np.testing.assert_allclose(bins.area[b], roc_auc_score(anomalous[inside], scores[inside]), atol=1e-5)
        assert bins.weight[b] == anomalous[inside].sum() * (~anomalous[inside]).sum()
    few = evaluation.at_equal_mass(scores, np.arange(2000) < 10, mass)
    assert not few.weight.any()
    measured = evaluation.measure(evaluation.Direction("qcd", scores, {}), np.arange(2000) < 10, mass)
    assert measured["detector"]["auc_at_equal_mass"]["value"] is None


def test_baselines_call_rare_what_normal_jets_seldom_are(tmp_path):
    constituents = jets.read(jets.embedded(), limit=1000).constituents
    baselines.save(tmp_path, {"qcd": baselines.learn(constituents, seed=1)})
    learned = baselines.read(tmp_path)["qcd"]
    for found in learned.histograms.values():
        density = np.exp(-np.asarray(found["rarity"]))
        np.testing.assert_allclose(np.sum(density * np.diff(found["edges"])), 1, rtol=1e-9)
    asked = np.concatenate([constituents[:1], 1e3 * constituents[:1], 0 * constituents[:1]])
    scores = baselines.scores(learned, asked)
    assert scores["mass"][0] < scores["mass"][1] == scores["mass"][2] == max(learned.histograms["mass"]["rarity"])
    heaviest = constituents[jets.mass(constituents).argmax()][None]  # which lies at the last edge, in the last bin
    assert baselines.scores(learned, heaviest)["mass"][0] == learned.histograms["mass"]["rarity"][-1]
    assert scores["isolation forest"][0] < scores["isolation forest"][1]
    (tmp_path / "isolation_forest.npz").write_bytes(b"PK")
    with pytest.raises(jaxsci.InputError, match="damaged file; train the run again"):
        baselines.read(tmp_path)
    (tmp_path / "isolation_forest.npz").unlink()  # as in a run made before there was a forest
    assert set(baselines.scores(baselines.read(tmp_path)["qcd"], asked)) == {"mass", "number"}


def test_the_forest_agrees_with_that_of_sklearn():
    rng = np.random.default_rng(5)
    normal = rng.normal(size=(2000, 5)) @ np.diag([1, 2, 3, 4, 5])
    normal[:, 4] = np.round(normal[:, 4])  # many equal values
    asked = np.concatenate([normal[:300], rng.uniform(-20, 20, size=(300, 5))]).astype(np.float32)
    reference = IsolationForest(n_estimators=400, random_state=0).fit(normal.astype(np.float32)).score_samples(asked)
    found = forest.scores(forest.learn(normal, seed=1), asked)
    assert stats.spearmanr(found, -reference).statistic > 0.98  # two of sklearn's of 100 trees have 0.99
    assert abs(np.mean(found + reference)) < 0.005
    assert forest.typical_length(256) == pytest.approx(2 * sum(1 / k for k in range(1, 256)) - 2 * 255 / 256, abs=5e-3)


def test_cuts_of_the_forest_go_on_until_an_example_is_alone():
    examples = np.array([[0.0], [1.0], [10.0], [10.0]])
    learned = forest.learn(examples, seed=0)
    # Of four numbers, two levels: the cut that parts 10 from 1 comes first with probability 9 / 10, and equal ones are never parted.
    first = learned.thresholds[:, 0]
    assert np.all((first > 0) & (first <= 10))
    parted = first > 1
    assert 0.75 < parted.mean() < 1
    np.testing.assert_allclose(learned.lengths[parted][:, :2], 2)  # 0 and 1, alone at the second level
    np.testing.assert_allclose(
        learned.lengths[parted][:, 2], 1 + forest.typical_length(2)
    )  # both tens, one level above
    alone = forest.learn(np.ones((5, 3)), seed=0)
    np.testing.assert_allclose(forest.scores(alone, np.ones((2, 3))), 0.5)


def test_a_page_says_how_a_detector_is_trained():
    job = jobs.prepare(Options(detector="autoencoder", max_jets=60, batch_size=100), silent)
    wide = job.constituents.copy()
    wide[0] = 0
    wide[0, :2] = [[100, 100, 0, 0], [90, 0, 90, 0]]  # one jet alone is no sign that images cannot be made
    told = task._hyperparameters(job._replace(constituents=wide))
    assert told["batch size"] == max(len(jobs.part(job, 0, normal)) for normal in ("qcd", "top")) < 100


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("anomalies")
    main(["train", "anomalies", *QUICK, "--runs", str(root)])
    return root / "anomalies" / "mixture-1"


def test_a_run_is_complete(run):
    found = json.loads((run / "evaluation.json").read_text())
    assert sum(found["jets"].values()) == 150  # a quarter of 600
    assert set(found["directions"]) == {"qcd", "top"}
    areas = [rows["detector"]["auc"]["value"] for rows in found["directions"].values()]
    assert found["metrics"]["auc"]["value"] == min(areas)
    page = (run / "report.html").read_text()
    assert page.count("data:image/png;base64") == 2 * 6  # for light and dark pages
    assert "mass alone" in page
    assert "isolation forest" in page
    assert set(found["directions"]["top"]) == {"detector", "mass", "number", "isolation forest"}
    assert "never used in training" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nae", "wnae", "nae-images", "nae-constituents", "autoencoder", "variational"])
def test_the_other_detectors_learn_one_direction(name, tmp_path):
    main(["train", "anomalies", "--detector", name, "--normal", "top", *QUICK, "--runs", str(tmp_path)])
    folder = tmp_path / "anomalies" / f"{name}-1"
    found = json.loads((folder / "evaluation.json").read_text())
    assert set(found["directions"]) == {"top"}
    assert not (folder / "qcd").exists()
    assert 0 <= found["metrics"]["auc"]["value"] <= 1


def test_predictions_are_those_of_the_evaluation(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample = jets.read(jets.embedded(), limit=800)
    constituents, labels = sample.constituents[-400:], sample.labels[-400:]
    with h5py.File("own.h5", "w") as file:
        file["constituents"], file["labels"] = constituents, labels
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    main(["predict", str(copy), "own.h5", "--out", "scores.npz"])
    main(["evaluate", str(copy), "--data", "own.h5"])
    trained = jaxsci.load(copy)
    with np.load("scores.npz") as scores:
        assert set(scores) == {"unlike_qcd", "unlike_top"}
        np.testing.assert_allclose(trained.predict(constituents)["unlike_top"], scores["unlike_top"], rtol=1e-6)
        area = roc_auc_score(labels == 1, scores["unlike_qcd"])
    found = json.loads((copy / "evaluations" / "own" / "evaluation.json").read_text())
    np.testing.assert_allclose(found["directions"]["qcd"]["detector"]["auc"]["value"], area, atol=1e-5)
    with pytest.raises(jaxsci.InputError, match="expected constituents"):
        trained.predict(constituents[0])


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "top")
    (copy / "evaluation.json").unlink()
    main(["train", "anomalies", "--resume", str(copy)])
    assert (copy / "evaluation.json").read_text() == (run / "evaluation.json").read_text()


def test_what_cannot_be_used_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean mixture?" in refused(capsys, "train", "anomalies", "--detector", "mixtre")
    np.savez("images.npz", images=np.full((40, 8, 8), 1 / 64, np.float32), labels=np.arange(40) % 2)
    assert "expected constituents, got images" in refused(capsys, "train", "anomalies", "--data", "images.npz")
    assert "--epochs: expected a positive number" in refused(capsys, "train", "anomalies", "--epochs", "0")
    devices = ("--max-jets", "60", "--devices", "1000")
    assert "mesh: expected at most " in refused(capsys, "train", "anomalies", *devices)
    assert not (tmp_path / "runs").exists()
