"""The linear tagger of polynomials: coefficients in order, errors, a row among the taggers, and weights of the validation part alone."""

import json

import numpy as np

from benchmarks import polynomials


def test_coefficients_are_written_and_the_row_joins_the_taggers(tmp_path, monkeypatch):
    monkeypatch.setattr(polynomials, "PARTICLES", 20)
    monkeypatch.setattr(polynomials, "STRENGTHS", (0.1, 1.0))
    monkeypatch.setattr(polynomials.machine, "describe", dict)
    polynomials.main(["--jets", "400", "--degree", "2", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "polynomials.json").read_text())
    values = [abs(row["value"]) for row in found["coefficients"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4  # one graph of one edge, three of two
    assert all(row["error"] > 0 for row in found["coefficients"])
    assert found["metrics"]["auc"]["value"] > 0.8
    assert "| efp |" in (tmp_path / "taggers.md").read_text()
    assert (tmp_path / "polynomials.png").read_bytes().startswith(b"\x89PNG")


def test_the_weights_of_taggers_come_from_the_validation_part():
    rng = np.random.default_rng(0)
    labels = {"validation": rng.integers(0, 2, 400), "test": rng.integers(0, 2, 50)}
    good = {part: 2.0 * y - 1 + 0.5 * rng.normal(size=len(y)) for part, y in labels.items()}
    noise = {part: rng.normal(size=len(y)) for part, y in labels.items()}
    weights, logits = polynomials.join({"good": good, "noise": noise}, labels)
    assert weights.coefficients[0] > 5 * weights.errors[0]
    assert abs(weights.coefficients[1]) < 4 * weights.errors[1]
    _, same = polynomials.join({"good": good, "noise": noise}, labels | {"test": 1 - labels["test"]})
    np.testing.assert_array_equal(logits, same)  # labels of the test part have no say
    np.testing.assert_allclose(polynomials.log_odds(weights, weights.mean[None]), weights.constant)
