import copy
import importlib.util
import json
import os

import jax
import numpy as np
import pytest

import jaxsci
from benchmarks import timing
from benchmarks.convolution import calibrate
from benchmarks.convolution import main as convolution
from benchmarks.convolution import report as convolution_report
from benchmarks.convolution.implementations import OPERATIONS, convolutions, jax_call, together
from benchmarks.convolution.shapes import SHAPES, smaller
from jaxsci.cli import main as cli
from jaxsci.ops.convolution import choice

HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.mark.parametrize("name", ["first", "strided", "signal-strided", "transposed", "depthwise"])
def test_the_contestants_agree(name):
    shape = smaller(SHAPES[name])
    arrays = shape.arrays(1, "float32")
    results = {}
    for way, f in convolutions(shape).items():
        call, _ = jax_call(OPERATIONS["kernel gradient"], f, jax.device_put(arrays))
        results[way] = np.asarray(call())
    if HAS_TORCH:
        from benchmarks.convolution import torch_layers as convolution_torch

        call = convolution_torch.calls(shape, arrays)["kernel gradient"]
        results["torch"] = convolution_torch.channels_last("kernel gradient", call())
    for result in results.values():
        np.testing.assert_allclose(result, results["jaxsci"], rtol=1e-4, atol=1e-4)  # float32 sums of up to 72 products


def test_flops_are_counted_by_hand():
    # 2 x 6 x 6 outputs of 32 channels, each the sum of 3 x 3 x 16 products.
    assert smaller(SHAPES["thin"]).flops == 2 * (2 * 6 * 6 * 32) * (3 * 3 * 16)


@pytest.mark.slow
def test_calibration_says_what_the_environment_takes(capsys, monkeypatch):
    monkeypatch.delenv("JAXSCI_CONVOLUTION", raising=False)
    assert convolution.main(["--quick", "--no-torch", "--calibrate"]) == 0
    name, _, costs = capsys.readouterr().out.strip().partition("=")
    assert name == "JAXSCI_CONVOLUTION"
    assert name not in os.environ  # it was set to compile both ways
    monkeypatch.setenv(name, costs)
    assert all(cost >= 0 for cost in choice.costs())


def test_the_cost_is_that_of_the_times(monkeypatch):
    # Times as the model has them: 4 times the products directly, 36 x 49 of them for 28 x 28 outputs of a 3 x 3 window by Winograd.
    times = {"direct": 4 * 24 * 32.0, "0,0,0": 24 * 32 + 20.0 * (24 + 32)}
    monkeypatch.setattr(calibrate, "_compiled", lambda choice, *_: choice)
    monkeypatch.setattr(calibrate, "_seconds", times.__getitem__)
    assert calibrate.measured(*calibrate.LAYERS["images"]) == pytest.approx(20, rel=1e-12)


def test_a_tiny_configuration_runs_end_to_end(tmp_path, capsys):
    operations = ["forward", "forward+backward"]
    arguments = ["convolution", "--quick", "--only", "first", "--operations", *operations]
    arguments += ["--repeats", "1", "--no-torch", "--out", str(tmp_path), "--name", "tiny"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *arguments])
    assert ended.value.code == 0
    results = json.loads((tmp_path / "tiny.json").read_text())
    assert [m["operation"] for m in results["measurements"]] == operations
    forward = results["measurements"][0]["contestants"]
    assert {"jaxsci", "lax", "im2col"} == set(forward)
    assert all(entry["error"] < 1e-5 for entry in forward.values())
    page = (tmp_path / "tiny.md").read_text()
    assert "| forward+backward, against lax |" in page
    for figure in ("ratio", "roofline"):
        assert f"(tiny_{figure}.png)" in page
        assert (tmp_path / f"tiny_{figure}.png").stat().st_size > 1000
    assert "first" in capsys.readouterr().out


def test_a_number_format_has_its_own_peak_and_error(tmp_path):
    arguments = ["--quick", "--only", "thin", "--operations", "forward", "--dtypes", "bfloat16", "--repeats", "1"]
    assert convolution.main([*arguments, "--out", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "convolution.json").read_text())
    assert set(results["machine"]["product_gflops"]) == {"bfloat16"}
    (measurement,) = results["measurements"]
    assert "png" not in (tmp_path / "convolution.md").read_text()  # the figures are those of float32
    assert not list(tmp_path.glob("*.png"))
    assert set(measurement["contestants"]) == {"jaxsci", "lax", "im2col"} | ({"torch"} if HAS_TORCH else set())
    for name, entry in measurement["contestants"].items():
        # The result is rounded to 2^-9 of itself, 4 standard deviations at most; all are given the same numbers.
        assert 1e-4 < entry["error"] < 0.02, name


def test_what_is_compared_takes_turns():
    assert together(["8 steps", "forward", "8 steps in a scan"]) == [["8 steps", "8 steps in a scan"], ["forward"]]
    for operation in OPERATIONS.values():
        if operation.beside:
            assert OPERATIONS[operation.beside].copies == operation.copies  # and so the same arrays


def test_the_slow_do_not_take_hours(monkeypatch):
    clock, calls = [0.0], []

    def contestant(name, seconds, first=None):
        def call():
            clock[0] += first if first is not None and name not in calls else seconds
            calls.append(name)

        return call

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    contestants = {
        "quick": contestant("quick", 0.1),
        "slow": contestant("slow", 0.4),
        "late": contestant("late", 0.1, first=4.0),
        "slower": contestant("slower", 3.0),
        "slowest": contestant("slowest", 60.0),
    }
    times = timing.visits(contestants, repeats=4, budget=1.0)
    counted = {"quick": [0.1] * 4, "slow": [0.4] * 3, "late": [0.1] * 4, "slower": [3.0] * 3, "slowest": [60.0]}
    assert {name: pytest.approx(found) for name, found in times.items()} == counted
    assert {name: calls.count(name) for name in contestants} == {
        "quick": 9,
        "slow": 7,
        "late": 9,
        "slower": 4,
        "slowest": 1,
    }


def test_what_is_asked_for_is_done_at_every_shape():
    asked = convolution.parse(["--no-torch", "--operations", "ensemble of 8"])
    assert convolution.operations("depthwise", asked) == ["ensemble of 8"]
    default = convolution.parse(["--no-torch"])
    assert convolution.operations("wide", default) == list(OPERATIONS)
    assert convolution.operations("depthwise", default) == list(convolution.EVERYWHERE)


def test_a_comparison_flags_what_became_slower_and_nothing_else(tmp_path):
    def entry(median):
        return {"seconds": {"low": 0.9 * median, "median": median, "high": 1.1 * median}}

    def results(ours, lax):
        contestants = {"jaxsci": entry(ours), "lax": entry(lax)}
        measurement = {"shape": "s", "operation": "o", "dtype": "float32", "contestants": contestants}
        return {"machine": {"processor": "p", "devices": ["d"]}, "measurements": [measurement]}

    before = results(1.0, 1.0)
    assert not convolution_report.compare(before, copy.deepcopy(before))[1]
    assert not convolution_report.compare(before, results(1.15, 1.0))[1]  # the middle halves overlap
    assert not convolution_report.compare(before, results(2.0, 2.0))[1]  # the machine was slower
    text, slower = convolution_report.compare(before, results(2.0, 1.0))
    assert slower
    assert "| slower |" in text
    assert "Two machines" not in text
    elsewhere = results(1.0, 1.0) | {"machine": {"processor": "q", "devices": ["d"]}}
    assert "Two machines: p, d; q, d." in convolution_report.compare(before, elsewhere)[0]
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, content in zip(paths, (before, results(2.0, 1.0)), strict=True):
        path.write_text(json.dumps(content))
    assert convolution.main(["--compare", *map(str, paths)]) == 1


def test_an_unknown_benchmark_ends_with_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "speed"])
    assert ended.value.code == 2
    assert "expected one of convolution, training, sphere" in capsys.readouterr().err


def test_a_comparison_with_something_else_ends_with_one_line(tmp_path, capsys):
    (tmp_path / "a.json").write_text("{}")
    for name in ("a.json", "missing.json"):
        with pytest.raises(SystemExit) as ended:
            convolution.main(["--compare", str(tmp_path / "a.json"), str(tmp_path / name)])
        assert ended.value.code == 2
        assert "expected the JSON file of an earlier run" in capsys.readouterr().err


def test_outside_of_a_checkout_the_remedy_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(jaxsci, "__file__", str(tmp_path / "jaxsci" / "__init__.py"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "convolution"])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "as in a checkout" in message
