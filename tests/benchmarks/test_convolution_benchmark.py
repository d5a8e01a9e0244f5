import copy
import importlib.util
import json

import numpy as np
import pytest

from benchmarks import convolution, convolution_report
from benchmarks.convolution_contestants import OPERATIONS, convolutions, jax_call
from benchmarks.convolution_shapes import SHAPES, put, smaller
from jaxsci import cli

HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.mark.parametrize("name", ["first", "strided", "signal-strided", "transposed", "depthwise"])
def test_the_contestants_agree(name):
    shape = smaller(SHAPES[name])
    arrays = shape.arrays()
    results = {}
    for way, f in convolutions(shape).items():
        call, _ = jax_call(OPERATIONS["kernel gradient"], f, put(arrays, "float32"))
        results[way] = np.asarray(call())
    if HAS_TORCH:
        from benchmarks import convolution_torch

        gradient = convolution_torch.calls(shape, arrays, "float32")["kernel gradient"]()[0].numpy()
        results["torch"] = np.moveaxis(gradient, (0, 1), (-1, -2))
    for result in results.values():
        np.testing.assert_allclose(result, results["jaxsci"], rtol=1e-4, atol=1e-4)  # float32 sums of up to 72 products


def test_flops_are_counted_by_hand():
    # 2 x 6 x 6 outputs of 32 channels, each the sum of 3 x 3 x 16 products.
    assert smaller(SHAPES["thin"]).flops == 2 * (2 * 6 * 6 * 32) * (3 * 3 * 16)


def test_a_tiny_configuration_runs_end_to_end(tmp_path, capsys):
    operations = ["forward", "forward+backward", "batch gradient", "per-example gradients"]
    arguments = ["convolution", "--quick", "--only", "first", "strided", "--operations", *operations]
    arguments += ["--repeats", "1", "--no-torch", "--out", str(tmp_path), "--name", "tiny"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *arguments])
    assert ended.value.code == 0
    results = json.loads((tmp_path / "tiny.json").read_text())
    assert len(results["measurements"]) == 2 * len(operations)
    forward = results["measurements"][0]["contestants"]
    assert {"jaxsci", "lax", "im2col"} == set(forward)
    assert all(entry["error"] < 1e-5 for entry in forward.values())
    page = (tmp_path / "tiny.md").read_text()
    assert "| forward+backward, against lax |" in page
    for figure in ("ratio", "roofline"):
        assert (tmp_path / f"tiny_{figure}.png").stat().st_size > 10_000
    assert "first" in capsys.readouterr().out


def test_a_comparison_flags_what_became_slower_and_nothing_else(tmp_path):
    def entry(median):
        return {"seconds": {"low": 0.9 * median, "median": median, "high": 1.1 * median}}

    def results(ours, lax):
        contestants = {"jaxsci": entry(ours), "lax": entry(lax)}
        return {"measurements": [{"shape": "s", "operation": "o", "dtype": "float32", "contestants": contestants}]}

    before = results(1.0, 1.0)
    assert not convolution_report.compare(before, copy.deepcopy(before))[1]
    assert not convolution_report.compare(before, results(1.15, 1.0))[1]  # the middle halves overlap
    assert not convolution_report.compare(before, results(2.0, 2.0))[1]  # the machine was slower
    text, slower = convolution_report.compare(before, results(2.0, 1.0))
    assert slower
    assert "| slower |" in text
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, content in zip(paths, (before, results(2.0, 1.0)), strict=True):
        path.write_text(json.dumps(content))
    assert convolution.main(["--compare", *map(str, paths)]) == 1


def test_an_unknown_benchmark_ends_with_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "speed"])
    assert ended.value.code == 2
    assert "expected convolution or training" in capsys.readouterr().err
