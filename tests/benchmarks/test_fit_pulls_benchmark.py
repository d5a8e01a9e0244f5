"""The study of pulls on a few fits, and that it finds errors that are wrong."""

import json

import numpy as np
import pytest

from benchmarks.fit_pulls import main as fit_pulls
from benchmarks.fit_pulls.study import Study, judged


@pytest.mark.usefixtures("x64")
@pytest.mark.slow
def test_a_few_fits_run_end_to_end(tmp_path):
    names = ["straight", "cut_sky", "counts_newton"]
    fit_pulls.run(fit_pulls.parse(["--fits", "200", "--out", str(tmp_path), "--only", *names]))
    studies = json.loads((tmp_path / "fit_pulls.json").read_text())["studies"]
    assert list(studies) == names
    for study in studies.values():
        for kind in {"pulls", "roots"} & set(study):
            assert study[kind]["fits"] == 200
            # 117 coefficients of a sky: the largest of so many is within five standard errors.
            for parameter in study[kind]["parameters"].values():
                np.testing.assert_allclose(parameter["mean"], 0, atol=5 / np.sqrt(200))
                np.testing.assert_allclose(parameter["width"], 1, atol=5 / np.sqrt(400))
    page = (tmp_path / "fit_pulls.md").read_text()
    assert "| minimize, poisson, newton | height |" in page
    assert (tmp_path / "fit_pulls.png").stat().st_size > 0


def test_errors_that_are_wrong_are_found():
    rng = np.random.default_rng(0)
    pulls = {name: rng.normal(size=1000) for name in ("right", "biased", "narrow")}
    pulls["correlated"] = 0.9 * pulls["right"] + np.sqrt(0.19) * rng.normal(size=1000)
    result = judged(Study("", "", pulls))["pulls"]
    assert all(parameter["within"] for parameter in result["parameters"].values())
    assert min(result["means"]["probability"], result["widths"]["probability"]) > 0.003
    wrong = {**pulls, "biased": pulls["biased"] + 0.15, "narrow": 0.85 * pulls["narrow"]}
    wrong["right"][7] = np.nan
    result = judged(Study("", "", wrong))["pulls"]
    assert {name for name, parameter in result["parameters"].items() if not parameter["within"]} == {"biased", "narrow"}
    assert (result["fits"], result["failed"]) == (999, 1)
    assert max(result["means"]["probability"], result["widths"]["probability"]) < 0.003


def test_a_fitter_that_is_not_there(capsys):
    with pytest.raises(SystemExit):
        fit_pulls.parse(["--only", "no-such"])
    assert "choose from" in capsys.readouterr().err
