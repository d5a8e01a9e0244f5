"""Whether what gradients say is true: the parts that are arithmetic against numpy, and tiny sizes end to end."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.gradients.claims import influence, intervals, labels, main, spectra, training


def test_the_inverse_of_low_rank_is_that_of_its_matrix():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(6, 2)))[0].T
    values = np.array([3.0, 0.5])
    matrix = basis.T @ np.diag(values) @ basis + 0.1 * np.eye(6)
    vectors = {"a": jnp.asarray(basis[:, :2]), "b": jnp.asarray(basis[:, 2:].reshape(2, 2, 2))}
    vector = rng.normal(size=6)
    tree = {"a": jnp.asarray(vector[:2]), "b": jnp.asarray(vector[2:].reshape(2, 2))}
    found = influence._of_low_rank(tree, jnp.asarray(values), vectors, jnp.asarray(0.1))
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])
    np.testing.assert_allclose(flat, np.linalg.solve(matrix, vector), rtol=1e-4)


def test_the_score_is_the_mean_of_rank_correlations_with_an_interval_around_it():
    rng = np.random.default_rng(1)
    scores, kept = rng.normal(size=(5, 20)), (rng.random((16, 20)) < 0.5).astype(float)
    measured = -kept @ scores.T + rng.normal(size=(16, 5))
    found = influence._score(*map(jnp.asarray, (scores, kept, measured)))
    exact = np.mean([spearmanr(-kept @ scores[i], measured[:, i]).statistic for i in range(5)])
    np.testing.assert_allclose(found["value"], exact, rtol=1e-5)
    assert found["lower"] < exact < found["upper"]
    # Two seeds that agree exactly leave nothing to be explained by chance; ones that are independent explain nothing.
    same = np.stack([measured, measured], axis=1)
    np.testing.assert_allclose(influence._ceiling(same), 1, rtol=1e-5)
    assert influence._ceiling(rng.normal(size=(400, 2, 3))) < 0.5
    assert influence._ceiling(same[:, :1]) is None


def test_materials_of_one_system_are_drawn_together():
    rng = np.random.default_rng(2)
    alone = rng.random(1000) < 0.9
    low, high = intervals._by_systems(alone, np.arange(1000))
    binomial = np.sqrt(0.9 * 0.1 / 1000)
    np.testing.assert_allclose((high - low) / 2, binomial, rtol=0.2)
    low, high = intervals._by_systems(np.repeat(alone[:100], 10), np.repeat(np.arange(100), 10))
    np.testing.assert_allclose((high - low) / 2, np.sqrt(10) * binomial, rtol=0.3)


def test_files_that_are_not_there_are_told_before_anything_is_measured(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main.main(["--quick", "--data", str(tmp_path)])
    told = capsys.readouterr()
    assert told.out == ""
    assert "expected a file of the published data sets, got none" in told.err


def test_one_round_has_no_range_and_one_training_no_mean():
    assert training._seconds({"median": 12.245, "low": 12.245, "high": 12.245}) == "12.2 s"
    assert training._seconds({"median": 2.0, "low": 1.0, "high": 3.0}) == "2 s [1, 3]"
    about = {"words": "", "changed": 1, "draws": 1, "seeds": 1, "processor seconds": 1.0}
    score = {"value": 0.5, "lower": 0.4, "upper": 0.6}
    found = {"a": {**about, "scores": {"x": score, "y": score}}, "b": {**about, "scores": {"x": score}}}
    page = "\n".join(labels.words(found))
    assert page.endswith("| x | 0.50 [0.40, 0.60] | 0.50 [0.40, 0.60] |\n| y | 0.50 [0.40, 0.60] |  |")
    assert "1 draw, 1 training a part" in page


def test_the_page_is_what_the_stored_results_say():
    file = main.RESULTS / "gradient_claims.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert file.with_suffix(".md").read_text(encoding="utf-8") == main.markdown(stored)
    old = {
        "eigenvalues": [2.0],
        "parameters": 9,
        "jets": 1,
        "steps": 2,
        "seconds": 1,
        "processor seconds": 1,
        "a product": 1,
    }
    assert "that is no bound" in spectra.words({**old, "relative errors": [1e-3]})[1]
    assert "as its residual, at most 1.0e-03" in spectra.words({**old, "relative residuals": [1e-3]})[1]


@pytest.mark.slow
def test_tiny_sizes_run_end_to_end(tmp_path):
    names = [name for name in main.CLAIMS if name != "intervals" or "JAXSCI_DATA" in os.environ]
    words = ["--quick", "--threads", "2", "--only", *names, "--out", str(tmp_path)]
    # As users compile: at level 0, with which tests do, second derivatives of a maximum over windows may be 0 / 0.
    command = [sys.executable, "-m", "benchmarks.gradients.claims", *words]
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": ""}, check=True)
    found = json.loads((tmp_path / "gradient_claims.json").read_text())["claims"]
    assert set(found) == set(names)
    page = (tmp_path / "gradient_claims.md").read_text()
    assert page.count("\n## ") == page.count("**Tiny sizes") == len(names)
    assert max(found["derivatives"]["found"]["relative differences"]["forward"]) < 1e-5
    assert main.main(["--quick", "--only", "moments", "--out", str(tmp_path)]) is None  # the others stay
    assert set(json.loads((tmp_path / "gradient_claims.json").read_text())["claims"]) == set(names)
