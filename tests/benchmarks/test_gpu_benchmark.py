import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks.gpu import counts, forms, main, report
from jaxsci.errors import InputError
from jaxsci.ops.convolution import _accelerators as accelerators
from jaxsci.ops.convolution._sizes import conv_geometry


@pytest.mark.slow
def test_tiny_forms_and_transforms_run_end_to_end(tmp_path):
    arguments = ["--quick", "--only", "forms", "sphere", "--layers", "volume-first", "--out", str(tmp_path)]
    main.run(main.parse(arguments))
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert len(results["forms"]) == 8  # three contractions of an ensemble and one of single examples, in two formats
    assert all(set(r["seconds"]) == {"grouped", "in turn", "patches"} for r in results["forms"])
    assert results["form_error"]["float32"] < 1e-5
    assert results["form_error"]["bfloat16"] < 0.05
    assert (tmp_path / "gpu.png").stat().st_size > 1000
    page = (tmp_path / "gpu.md").read_text()
    assert "| yes |" in page or "| no |" in page
    assert "| 4 | analysis |" in page


@pytest.mark.slow
def test_everything_runs_end_to_end(tmp_path):
    main.run(main.parse(["--quick", "--layers", "volume-first", "--out", str(tmp_path)]))
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert {r["operation"] for r in results["convolution"]} == set(main.COMPARED)
    assert all(r["seconds"] > 0 for r in results["training"])
    assert results["left_out"] == []


def test_what_does_not_fit_into_the_time_is_named():
    results = main.run(main.parse(["--quick", "--only", "sphere", "--minutes", "0"]))
    assert results["left_out"] == ["sphere: nside 4, synthesis", "sphere: nside 4, analysis"]


def test_a_cpu_alone_is_refused():
    with pytest.raises(InputError, match="expected a GPU or a TPU, got only a CPU; --quick"):
        main.main([])


@pytest.mark.parametrize("role", forms.ROLES)
def test_operations_are_those_that_xla_counts(role):
    """Of the batched product; XLA counts the additions of the patches as well, and none of the pads."""
    geometry, _ = conv_geometry((6, 6), (3, 3), (1, 1), "VALID", (1, 1))
    shapes = {"input": (4, 2, 6, 6, 8), "kernel": (4, 3, 3, 8, 16), "output": (4, 2, 4, 4, 16)}
    pair = [jax.ShapeDtypeStruct(shapes[r], jnp.float32) for r in forms.ROLES if r != role]
    found = counts.counts(role, "patches", *pair, geometry)
    assert found.operations == 2 * 4 * 2 * 16 * 9 * 8 * 16
    product = jax.jit(lambda a, b: accelerators.patches(role, a, b, geometry, None)).lower(*pair).cost_analysis()
    assert found.operations <= product["flops"] <= 1.1 * found.operations


def test_the_rule_is_what_published_rates_of_an_h100_predict():
    """Between groups in turn and patches: at most 2.2 times the predicted time of the better, 1.2 times in the mean."""
    options = main.parse(["--layers", *forms.SHAPES])
    losses = []
    for _, _, role, groups, shape in forms.cases(options):
        rank = len(shape.size)
        geometry, output = conv_geometry(
            shape.size, (shape.window,) * rank, (shape.stride,) * rank, "SAME", (1,) * rank
        )
        shapes = {
            "input": (groups, shape.batch, *shape.size, shape.inputs),
            "kernel": (groups, *(shape.window,) * rank, shape.inputs, shape.outputs),
            "output": (groups, shape.batch, *output, shape.outputs),
        }
        pair = [jax.ShapeDtypeStruct(shapes[r], jnp.float32) for r in forms.ROLES if r != role]
        times = {
            form: counts.predicted(counts.counts(role, form, *pair, geometry), counts.DEVICES["h100"], "tf32")
            for form in ("in turn", "patches")
        }
        losses.append(times[accelerators.choose(role, *pair, geometry)] / min(times.values()))
    assert max(losses) < 2.2
    assert sum(losses) / len(losses) < 1.2


def test_the_threshold_is_where_times_are_least():
    records = [{"patches_bytes": size, "seconds": {"in turn": 3.0, "patches": size}} for size in (1.0, 2.0, 4.0, 8.0)]
    found = forms.threshold(records)
    assert found["bytes"] == 2.0
    assert found["mean"] == 1.0
    assert found["mean_of_rule"] == pytest.approx((4 / 3 * 8 / 3) ** 0.25)


def test_goals_are_judged_by_the_worst():
    row = {"operation": "forward+backward", "dtype": "bfloat16", "channels": 64, "gflop": 1.0}
    rows = [row | {"seconds": {"jaxsci": t, "lax": 1.0}} for t in (0.5, 2.0)]
    found = report.goals({"convolution": rows, "products_gflops": {"bfloat16": 1.0}})
    assert [goal["reached"] for goal in found] == [False, False]
    assert [goal["worst"] for goal in found] == [0.5, 0.5]
