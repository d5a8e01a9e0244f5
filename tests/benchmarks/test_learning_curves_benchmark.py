"""The learning curves measure what they say: so many training jets, more passes through few, a cell for each number of jets."""

import json
import math

import numpy as np
import pytest

from benchmarks import learning_curves
from jaxsci.errors import InputError


@pytest.mark.slow  # it reads and prepares all jets
def test_trainings_are_measured_and_added_to_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curves.machine, "describe", lambda: {"processor": "P", "versions": {"jax": "0"}})
    arguments = ["--only", "mass", "--epochs", "1", "--out", str(tmp_path)]
    learning_curves.main([*arguments, "--jets", "40", "120", "--seeds", "1"])
    before = json.loads((tmp_path / "learning_curves.json").read_text())["taggers"]["mass"]
    learning_curves.main([*arguments, "--jets", "40", "--seeds", "2", "1"])
    runs = json.loads((tmp_path / "learning_curves.json").read_text())["taggers"]["mass"]
    assert [(run["seed"], run["jets"]) for run in runs] == [(1, 40), (1, 120), (2, 40)]
    assert runs[:2] == before  # with the seconds it took: what is there is not trained again
    assert "Number of seeds: 2 with 40 jets; 1 with 120 jets." in (tmp_path / "learning_curves.md").read_text()
    for run in runs:
        assert run["parameters"] == 2
        assert run["auc"]["lower"] < run["auc"]["value"] < run["auc"]["upper"]
    row = next(line for line in (tmp_path / "learning_curves.md").read_text().splitlines() if line.startswith("| mass"))
    assert f"{(runs[0]['auc']['value'] + runs[2]['auc']['value']) / 2:.4f} ± " in row
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_means_are_over_seeds_and_an_unknown_rejection_is_not_a_number():
    runs = [{"jets": 10, "x": {"value": v, "lower": v - 1, "upper": v + 1}} for v in (2.0, 4.0)]
    runs.append({"jets": 5, "x": {"value": None, "lower": 30.0, "upper": None}})
    found = learning_curves.means(runs, "x")
    assert list(found) == [5, 10]
    assert found[10] == pytest.approx((3.0, math.sqrt(2), 1.0))
    assert math.isnan(found[5][0])
    assert learning_curves._cell(*found[5], 0) == "no background passes in a run"


def test_a_held_training_of_another_number_of_epochs_is_refused(tmp_path, capsys):
    run = {"jets": 1000, "seed": 1, "epochs": 1}
    (tmp_path / "learning_curves.json").write_text(json.dumps({"taggers": {"pfn": [run]}}))
    with pytest.raises(SystemExit):
        learning_curves.main(["--only", "pfn", "--jets", "1000", "--seeds", "1", "--out", str(tmp_path)])
    assert "expected trainings of pfn on 1,000 jets of 40 epochs, got one of 1" in capsys.readouterr().err
    run["epochs"] = 40  # twice as many as for 2,000 jets
    (tmp_path / "learning_curves.json").write_text(json.dumps({"taggers": {"pfn": [run]}}))
    learning_curves.main(["--only", "pfn", "--jets", "1000", "--seeds", "1", "--out", str(tmp_path)])
    assert capsys.readouterr().out == "pfn, 1,000 jets, seed 1: kept\n"


def test_numbers_of_jets_that_there_are_not_are_refused(capsys):
    with pytest.raises(SystemExit):
        learning_curves.main(["--jets", "30000"])
    assert "expected numbers from 10 to 24,000; for more, give jets by --more" in capsys.readouterr().err


def test_jets_of_other_files_join_the_training_part_alone(tmp_path):
    learning_curves._jets.cache_clear()
    sample, (train, validation, test) = learning_curves._jets(None)
    other = sample.constituents[:40, :30] * np.float32(1.5)
    np.savez(tmp_path / "other.npz", constituents=other, labels=sample.labels[:40])
    more, (taken, *rest) = learning_curves._jets(tmp_path / "other.npz")
    assert [list(part) for part in rest] == [list(validation), list(test)]
    assert list(taken) == [*train, *range(30_000, 30_040)]
    assert more.constituents[30_000:, :30] == pytest.approx(other)
    assert list(more.labels[30_000:]) == list(sample.labels[:40])
    with pytest.raises(InputError, match=r"expected at least 176,000 jets, got 40"):
        learning_curves.measure("mass", 200_000, 1, more=tmp_path / "other.npz")
    np.savez(tmp_path / "same.npz", constituents=sample.constituents[:40], labels=sample.labels[:40])
    with pytest.raises(InputError, match=r"expected other jets than those of the package, got 40 of them"):
        learning_curves._jets(tmp_path / "same.npz")
    learning_curves._jets.cache_clear()
