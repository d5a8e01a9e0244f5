"""The benchmark of anomaly detectors measures what the command does, keeps what it holds, and compares with the mass alone."""

import json

import numpy as np
import pytest

from benchmarks.anomalies import main, page


def areas(value, half=0.01):
    area = {"value": value, "lower": value - half, "upper": value + half}
    return {normal: dict.fromkeys(page.AREAS, area) for normal in page.LEARNED}


def test_gains_are_over_the_larger_of_mass_and_number_of_the_same_seed():
    methods = {
        "forest": [{"seed": 2, **areas(0.8)}, {"seed": 1, **areas(0.7)}],
        "mass": [{"seed": 1, **areas(0.6)}, {"seed": 2, **areas(0.5)}],
        "number": [{"seed": 1, **areas(0.4)}, {"seed": 2, **areas(0.9)}],
    }
    np.testing.assert_allclose(page.gains(methods, "forest", "qcd", "auc"), [0.8 - 0.9, 0.7 - 0.6])
    assert page.estimate(methods["mass"], "top", "auc") == pytest.approx((0.55, 0.1 / np.sqrt(2), 0.01))
    assert np.isnan(page.estimate(methods["mass"][:1], "top", "auc")[1])  # of one seed there is no spread
    methods["mass"][0]["qcd"]["auc"] = {"value": None, "lower": None, "upper": None}
    assert np.isnan(page.gains(methods, "forest", "qcd", "auc")).any()
    assert page._cell(*page.estimate(methods["mass"], "qcd", "auc")) == "too few jets"


@pytest.mark.slow  # it trains and draws the pages of runs
def test_trainings_are_measured_once_and_added_to_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(main.machine, "describe", lambda: {"processor": "P", "versions": {"jax": "0"}})
    arguments = ["--only", "mixture", "--epochs", "1", "--jets", "1600", "--out", str(tmp_path)]
    main.main([*arguments, "--seeds", "1"])
    before = json.loads((tmp_path / "anomalies.json").read_text())["methods"]
    assert list(before) == ["mixture", "isolation forest", "mass", "number"]
    assert [runs[0]["test_jets"] for runs in before.values()] == [400] * 4  # a quarter
    assert (tmp_path / "anomalies.png").read_bytes().startswith(b"\x89PNG")
    main.main([*arguments, "--seeds", "2", "1"])
    assert "mixture, seed 1: kept" in capsys.readouterr().out
    methods = json.loads((tmp_path / "anomalies.json").read_text())["methods"]
    for method, runs in methods.items():
        assert runs[0] == before[method][0]
        assert [run["seed"] for run in runs] == [1, 2]
    mean = sum(run["top"]["auc"]["value"] for run in methods["mass"]) / 2
    text = (tmp_path / "anomalies.md").read_text()
    assert f"{mean:.3f} ± " in next(line for line in text.splitlines() if line.startswith("| mass alone | 2 |"))
    with pytest.raises(SystemExit):
        main.main([*arguments[:3], "2", *arguments[4:], "--seeds", "3"])
    assert "expected trainings of mixture of 2 epochs, got one of 1; give another --out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mixture", "nae"])
def test_trainings_on_other_jets_do_not_join_the_table(name, tmp_path, capsys):
    held = {"mixture": [{"seed": 1, "jets": 30_000, "epochs": 40}], "mass": [{"seed": 1, "jets": 30_000}]}
    (tmp_path / "anomalies.json").write_text(json.dumps({"methods": held}))
    with pytest.raises(SystemExit):
        main.main(["--only", name, "--jets", "2000", "--seeds", "2", "--out", str(tmp_path)])
    assert "expected trainings on 2,000 jets, got one of mixture on 30,000" in capsys.readouterr().err
