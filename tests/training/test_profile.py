"""The profile of a training: where its time goes, what a step costs, and a trace of a few steps."""

import contextlib
import gzip
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.training import Profile, Recipe, Settings, adamw, fit, fit_ensemble
from jaxsci.training.profile import _cost as cost
from jaxsci.training.profile import _trace as traces

SIZES = (30, 64, 64, 1)
MODEL = heads.scalar(dense.model(dense.Config(30, hidden=SIZES[1:-1])))
RECIPE = Recipe(MODEL, objective(MODEL.apply, squared_error), adamw(1e-2), microbatches=2)
BATCH, STEPS = 32, 20
SETTINGS = Settings(epochs=2, batch_size=BATCH)
KEY = jax.random.key(0)


def data(examples, seed=0):
    x = np.random.default_rng(seed).normal(size=(examples, 30)).astype(np.float32)
    return Batch(x, x[:, 0], np.ones(examples, np.float32))


TRAIN, VALIDATION = data(BATCH * STEPS), data(40, 1)
# Products of a step: those of the forward pass once, and of the backward pass twice but for the gradient by the input.
PRODUCTS = 2 * BATCH * (3 * sum(m * n for m, n in itertools.pairwise(SIZES)) - SIZES[0] * SIZES[1])


def test_a_profile_holds_the_time_of_a_training_and_changes_nothing_else(tmp_path):
    profile = Profile(tmp_path / "trace.json.gz")
    found = fit(RECIPE, TRAIN, VALIDATION, key=KEY, settings=SETTINGS, profile=profile)
    alone = fit(RECIPE, TRAIN, VALIDATION, key=KEY, settings=SETTINGS)
    jax.tree.map(np.testing.assert_array_equal, found.last_params, alone.last_params)
    summary = json.loads(json.dumps(profile.summary(side=64)))
    seconds = summary["seconds"]
    assert min(seconds.values()) >= 0
    assert seconds["all"] == pytest.approx(sum(value for stage, value in seconds.items() if stage != "all"))
    assert seconds["compilation"] > 0.01
    assert (summary["steps"], summary["steps_of_members"]) == (2 * STEPS, 2 * STEPS)
    # Microbatches are a loop, of which XLA would count one turn.
    assert PRODUCTS < summary["step"]["operations"] < 1.3 * PRODUCTS
    assert summary["step"]["products"] == "float32"
    parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(found.params))
    assert summary["step"]["bytes"] > 6 * parameters  # the update reads and writes them and two moments
    assert not summary["step"]["loops"]
    assert summary["rate"] == pytest.approx(summary["step"]["operations"] * 2 * STEPS / seconds["steps"])
    assert summary["utilization"] == pytest.approx(summary["rate"] / summary["product"]["rate"])
    events = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["traceEvents"]
    assert any(event.get("args", {}).get("hlo_op") for event in events)
    operations = summary["trace"]["longest"]
    assert 1 <= summary["trace"]["steps"] <= 8
    products = [operation for operation in operations if operation["kind"] == "products"]
    assert {operation["calls"] for operation in products} == {2 * summary["trace"]["steps"]}  # once in each microbatch
    total = summary["trace"]["seconds"]
    assert 0 < total["products"] < sum(total.values())
    assert "while" not in {operation["name"].split(".")[0] for operation in operations}


def test_members_of_an_ensemble_are_counted_as_long_as_they_train():
    keys, profile = jax.random.split(KEY, 3), Profile()
    hyper = {"rate": jnp.array([1e-2, 1e-2, 0.0])}  # the last one stops after two epochs

    def recipe(hyper):
        return RECIPE._replace(optimizer=adamw(hyper["rate"]))

    settings = Settings(epochs=3, batch_size=BATCH, patience=1)
    found = fit_ensemble(recipe, hyper, TRAIN, VALIDATION, keys=keys, settings=settings, profile=profile)
    active = sum(loss is not None for record in found.history for loss in record["train_loss"])
    summary = profile.summary(side=64)
    assert summary["steps"] == STEPS * len(found.history)
    assert summary["steps_of_members"] == STEPS * active
    assert PRODUCTS < summary["step"]["operations"] < 1.3 * PRODUCTS
    assert summary["trace"]["steps"] == 0
    assert not summary["trace"]["longest"]


def test_a_step_that_no_tpu_has_is_not_counted_and_says_so():
    def loss(params, batch):
        values = jnp.abs(jnp.linalg.eigvals(jnp.outer(params, params) + jnp.diag(params)))  # LAPACK's alone
        return jnp.sum(values) * batch.weight.mean(), {}

    recipe = RECIPE._replace(model=MODEL._replace(init=lambda key: jnp.arange(1.0, 4.0)), loss=loss, microbatches=1)
    found = cost.of_step(lambda hyper: recipe, {}, KEY, data(BATCH))
    assert found.operations is None
    assert found.unknown.startswith("the step has an operation that not every device has (")


def test_a_resumed_training_says_after_what(tmp_path):
    run = {"key": KEY, "checkpoints": tmp_path}
    fit(RECIPE, TRAIN, VALIDATION, settings=Settings(1, BATCH), **run)
    profile = Profile()
    fit(RECIPE, TRAIN, VALIDATION, settings=SETTINGS, resume=True, profile=profile, **run)
    assert (profile.steps, profile.resumed) == (STEPS, (1, 0))


def test_a_trace_that_the_profiler_does_not_write_ends_no_training(tmp_path, monkeypatch):
    monkeypatch.setattr(jax.profiler, "trace", lambda *_, **__: contextlib.nullcontext())
    with traces.traced(tmp_path / "trace.json.gz", "") as found:
        pass
    assert not found
    assert not list(tmp_path.iterdir())


def test_a_profile_without_a_training_is_refused():
    with pytest.raises(InputError, match=r"^profile: expected one with which steps"):
        Profile().summary()


def test_operations_are_told_apart_by_what_the_compiler_wrote():
    text = """HloModule jit_step

%fused (param: f32[4,4]) -> f32[4,4] {
  %param = f32[4,4]{1,0} parameter(0)
  ROOT %inner.1 = f32[4,4]{1,0} dot(%param, %param), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

%body (state: (s32[], f32[4,4])) -> (s32[], f32[4,4]) {
  %fusion.2 = f32[4,4]{1,0:T(8,128)} fusion(%x), kind=kOutput, calls=%fused
  %add_fusion = f32[4,4]{1,0} fusion(%x), kind=kLoop, calls=%other
  %sum = (f32[4,4]{1,0}, f32[]) all-reduce(%x, %y), to_apply=%added
  ROOT %gemm.3 = f32[4,4]{1,0} custom-call(%x), custom_call_target="__cublas$gemm"
}

ENTRY %main (x: f32[4,4]) -> f32[4,4] {
  %loop = (s32[], f32[4,4]{1,0}) while(%start), condition=%until, body=%body
}
"""
    kinds = traces.kinds(text)
    assert kinds | {"param": "other"} == {
        "param": "other",
        "inner.1": "products",
        "fusion.2": "products",
        "add_fusion": "other",
        "sum": "exchange",
        "gemm.3": "products",
    }
    events = [{"ph": "X", "dur": 2e6, "args": {"hlo_op": name}} for name in ("loop", "sum", "gemm.3", "gemm.3")]
    found = traces.operations(events, kinds)
    assert [(o.name, o.seconds, o.calls) for o in found] == [("gemm.3", 4.0, 2), ("sum", 2.0, 1)]
