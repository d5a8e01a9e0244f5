"""The benchmark of taggers against their peers: settings, what is left out, and the page with its errors and ratios."""

import importlib.util
import json
import math

import numpy as np
import pytest

from benchmarks.tagger_peers import main, measure, report
from benchmarks.tagger_peers.problems import PROBLEMS


def estimate(value):
    return {"value": value, "lower": value - 0.01, "upper": value + 0.01}


def side(auc, training, prediction):
    """A training of three epochs whose first one compiles; seconds of the clock are twice those of the processor."""
    seconds = {
        kind: [(100.0, 50.0), (2 * each, each), (2 * each, each)]
        for kind, each in (("training", training), ("prediction", prediction))
    }
    ranking = {"auc": estimate(auc), "rejection_0.3": estimate(50.0), "rejection_0.5": estimate(20.0)}
    return {"parameters": 1234, "best_epoch": 2, "seconds": seconds, **ranking}


def run(seed, ours, theirs):
    return {
        "seed": seed,
        "training_jets": 1000,
        "validation_jets": 500,
        "test_jets": 600,
        "epochs": 3,
        "difference": {"value": ours - theirs, "error": 0.003},
        "apart": 3e-7,
        "load_average": 0.5,
        "ours": side(ours, 1.0, 0.5),
        "theirs": side(theirs, 2.0, 0.75),
    }


RUNS = [run(1, 0.95, 0.94), run(2, 0.93, 0.94), run(3, 0.94, 0.93)]


def results(kept=True):
    settings = {"jets": None, "epochs": 3, "batch_size": PROBLEMS["pfn"].batch_size, "learning_rate": 1e-3}
    return {
        "networks": {
            "pfn": {
                "peer": "EnergyFlow",
                "settings": settings,
                "threads": 2,
                "xla_flags": "--a=b",
                "memory_kept": kept,
                "runs": RUNS,
            }
        },
        "machine": {"processor": "P", "versions": {"jax": "0", "torch": None}},
    }


def test_the_difference_has_the_error_of_its_mean_and_that_of_the_jets():
    value, between, jets = report.difference(RUNS)
    assert value == pytest.approx(0.01 / 3)
    assert between == pytest.approx(np.std([0.01, -0.01, 0.01], ddof=1) / math.sqrt(3))
    assert jets == pytest.approx(0.003)
    assert report.difference_in_words(RUNS) == "+0.0033 ± 0.0067 (seeds) ± 0.0030 (jets)"
    assert report.difference_in_words(RUNS[1:2]) == "−0.0100 ± 0.0030 (jets)"


def test_rates_leave_the_compilation_out():
    assert report.rate(RUNS, "ours", "training") == pytest.approx(500)
    assert report.rate(RUNS, "theirs", "prediction") == pytest.approx(500 / 1.5)
    assert report.ratio(RUNS, "prediction", "clock") == {"median": 1.5, "low": 1.5, "high": 1.5}


def test_the_page_has_both_sides():
    page = report.as_markdown(results())
    assert "| pfn | ours | 1,234 | 0.9400 ± 0.0100 (seeds) ± 0.0100 (jets) |" in page
    assert "| pfn | theirs, EnergyFlow | 1,234 | 0.9367" in page
    assert "| pfn | training | 2 | 500 | 250 | 2.00 (2.00 to 2.00) | 2.00 (2.00 to 2.00) |" in page
    assert "differ by at most 3e-07 of their spread" in page
    assert "With pfn the memory of arrays was not kept" in report.as_markdown(results(kept=False))
    assert "was not kept" not in page
    assert "Load of the machine after a training 0.5 to 0.5." in page
    assert "Ours with XLA_FLAGS=--a=b." in page
    assert "\nP. jax 0." in page


def test_a_peer_that_is_not_installed_is_left_out_in_one_line(tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("weaver", "tf_keras") else found(name)
    )
    monkeypatch.setattr(main.machine, "limit_cores", lambda count: None)
    main.main(["--only", "particlenet", "--out", str(tmp_path)])
    assert capsys.readouterr().out == "particlenet: left out, for weaver is not installed; see --help\n"
    assert not list(tmp_path.iterdir())


def test_what_is_held_is_kept_and_never_mixed_with_other_settings(tmp_path, monkeypatch, capsys):
    file = tmp_path / "tagger_peers.json"
    file.write_text(json.dumps(results()))
    monkeypatch.setattr(main, "missing", lambda problem: None)
    monkeypatch.setattr(main, "FLAGS", "--a=b")
    monkeypatch.setattr(main.machine, "limit_cores", lambda count: None)
    main.main(["--only", "pfn", "--epochs", "3", "--out", str(tmp_path)])
    assert capsys.readouterr().out == "".join(f"pfn, seed {seed}: kept\n" for seed in (1, 2, 3))
    with pytest.raises(SystemExit):
        main.main(["--only", "pfn", "--epochs", "4", "--out", str(tmp_path)])
    assert "expected trainings of pfn with" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main.main(["--only", "pfn", "--epochs", "3", "--threads", "1", "--out", str(tmp_path)])
    assert "'threads': 1, 'xla_flags': '--a=b'}, got" in capsys.readouterr().err


def test_fewer_jets_than_a_batch_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main.main(["--jets", "40", "--out", str(tmp_path)])
    assert "--jets: expected at least 100 for pfn, one batch, got 40" in capsys.readouterr().err


def test_cross_entropy_is_that_of_large_log_odds_too():
    logits, labels = np.array([0.0, 100.0, -100.0], np.float32), np.array([1.0, 1.0, 1.0], np.float32)
    assert measure.cross_entropy(logits, labels) == pytest.approx((math.log(2) + 100) / 3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_batches_are_whole_and_cut_into_equal_microbatches(name):
    problem = PROBLEMS[name]
    assert problem.jets % problem.batch_size == 0
    assert problem.batch_size % problem.microbatches == 0
