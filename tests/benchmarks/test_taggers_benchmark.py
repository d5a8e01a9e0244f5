"""The benchmark of taggers measures what it says: parameters, operations, and a row for each tagger with all its seeds."""

import json

import pytest

from benchmarks import tagger_tables, taggers


def test_a_training_is_measured_and_added_to_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(taggers.machine, "describe", dict)
    monkeypatch.setattr(taggers, "PREDICTED", 100)
    arguments = ["--only", "mass", "--epochs", "1", "--jets", "400", "--out", str(tmp_path)]
    taggers.main([*arguments, "--seeds", "1"])
    taggers.main([*arguments, "--seeds", "2", "1"])
    runs = json.loads((tmp_path / "taggers.json").read_text())["taggers"]["mass"]
    assert [run["seed"] for run in runs] == [1, 2]
    for run in runs:
        assert run["parameters"] == 2
        assert run["training_jets"] == 240  # 0.6 of 400
        assert 2 <= run["operations"] <= 10  # a product and a sum, and what turns them into a number
        assert run["auc"]["lower"] < run["auc"]["value"] < run["auc"]["upper"]
    row = (tmp_path / "taggers.md").read_text().splitlines()[-1]
    mean = sum(run["auc"]["value"] for run in runs) / 2
    assert row.startswith("| mass | 2 |")
    assert f"{mean:.4f} ± " in row
    assert len(row.split("|")) - 2 == 12


def test_rates_that_were_measured_anew_take_the_place_of_those_of_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(taggers.machine, "describe", dict)
    monkeypatch.setattr(taggers, "PREDICTED", 100)
    monkeypatch.setattr(taggers, "TIMED_JETS", 400)
    arguments = ["--only", "mass", "--out", str(tmp_path)]
    taggers.main([*arguments, "--seeds", "1", "--epochs", "1", "--jets", "400"])
    taggers.main([*arguments, "--rates"])
    results = json.loads((tmp_path / "taggers.json").read_text())
    assert len(results["taggers"]["mass"]) == 1
    found = results["rates"]["mass"]
    page = (tmp_path / "taggers.md").read_text()
    assert f"| {found['trained_per_second']:,} | {found['predicted_per_second']:,} |" in page
    assert "The rates of mass were measured by themselves" in page


def test_a_rejection_that_is_not_known_is_said():
    run = {"rejection_0.3": {"value": None, "lower": 30.0, "upper": None}}
    assert tagger_tables.mean([run], "rejection_0.3", 0) == "no background passes in a run"


@pytest.mark.parametrize(("operations", "words"), [(2_700_000.0, "2.70 M"), (None, "")])
def test_operations_in_words(operations, words):
    assert tagger_tables.short(operations) == words


@pytest.mark.slow
def test_both_formats_are_compared_on_the_same_jets(tmp_path):
    arguments = ["--only", "topodnn", "--epochs", "2", "--jets", "800", "--seeds", "1", "--out", str(tmp_path)]
    taggers.main([*arguments, "--bfloat16"])
    results = json.loads((tmp_path / "taggers.json").read_text())
    assert results["taggers"] == {}
    (run,) = results["bfloat16"]["topodnn"]
    assert (run["training_jets"], run["test_jets"], run["epochs"]) == (480, 200, 2)
    difference = run["bfloat16"]["value"] - run["float32"]["value"]
    assert run["difference"]["value"] == pytest.approx(difference, abs=1e-5)
    assert difference != 0  # the products were rounded
    assert 0 < run["difference"]["error"] < 0.05
    assert "| topodnn | 1 | 480 | 2 | 200 |" in (tmp_path / "taggers.md").read_text()
