import importlib.util
import json
import math

import jax
import numpy as np
import pytest

from benchmarks import machine, timing
from benchmarks.training import main as training
from benchmarks.training import ours, problems
from jaxsci.models import deep_sets
from jaxsci.training import init_state

KEY = jax.random.key(3)
HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(autouse=True, scope="module")
def forgotten():
    """All jets of the package, 96 MB, are not kept for the tests of other files."""
    yield
    problems._embedded.cache_clear()


@pytest.fixture
def torch():
    """PyTorch on one thread: several would wait for each other while other tests run."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(threads)


def tiny(name):
    """Eight jets as one batch, in float64."""
    problem = problems.PROBLEMS[name].make(problems.sample(8))
    data = jax.tree.map(lambda leaf: leaf.astype(np.float64), problem.data)
    return problem._replace(data=data, batch_size=8, portions=2)


@pytest.mark.slow
def test_a_tiny_configuration_runs_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(problems, "SMALL", deep_sets.Config(7, phi=(4,), rho=()))
    peers = ["eager"] if HAS_TORCH else ["none"]
    arguments = f"--quick --only dense ensemble --repeats 2 --threads 1 --out {tmp_path} --peers".split() + peers
    training.run(training.parse(arguments))
    results = json.loads((tmp_path / "training.json").read_text())
    timings = results["networks"]["dense"]["timings"]
    assert list(timings) == ["jaxsci", "torch eager"][: 1 + HAS_TORCH]
    in_turn, whole = results["ensemble"]["epochs"], results["ensemble"]["whole"]
    for implementation in (*timings.values(), *in_turn.values(), *whole.values()):
        assert min(implementation["seconds"]) > 0
        assert implementation["rate"]["low"] <= implementation["rate"]["median"] <= implementation["rate"]["high"]
    assert len(timings["jaxsci"]["seconds"]) == 2
    if HAS_TORCH:
        # The same parameters and as many epochs, in other orders: about the same loss, near log 2.
        assert timings["torch eager"]["loss"] == pytest.approx(timings["jaxsci"]["loss"], rel=0.05)
    # The ways to train an ensemble differ by roundings alone: batched products add up in another order.
    for losses in ([c["loss"] for c in in_turn.values()], [c["loss"] for c in whole.values()]):
        np.testing.assert_allclose(losses, losses[0], rtol=1e-3)
    page = (tmp_path / "training.md").read_text()
    assert "| dense | 128 | jaxsci |" in page
    assert "| vmap |" in page


def test_implementations_take_turns():
    calls = []

    def implementation(name):
        return lambda: calls.append(name) or len(calls)

    timings = timing.alternate({name: implementation(name) for name in "abc"}, 2)
    assert "".join(calls) == "abcabcabc"  # the first round compiles and does not count
    assert [len(t.calls) for t in timings.values()] == [2, 2, 2]
    assert [t.result for t in timings.values()] == [7, 8, 9]
    calls.clear()
    timings = timing.alternate({name: implementation(name) for name in "ab"}, 1, warm_up=False)
    assert "".join(calls) == "ab"


def test_speedups_are_taken_round_by_round():
    timings = {"ours": timing.Timing(5.0, [1.0, 2.0, 4.0], 0.0), "theirs": timing.Timing(9.0, [2.0, 6.0, 4.0], 0.0)}
    assert timing.speedups(timings, "ours", than="theirs") == [2.0, 3.0, 1.0]
    assert timing.quartiles([1.0, 2.0, 3.0]) == {"median": 2.0, "low": 1.5, "high": 2.5}
    assert timings["ours"].compilation == 3.0
    assert timing.as_json(timings, examples=8)["ours"]["rate"]["median"] == 4.0


def test_the_operations_are_those_of_the_products():
    products = {
        "dense": 2 * (90 * 300 + 300 * 102 + 102 * 12 + 12 * 6 + 6),
        "dense-wide": 2 * (90 * 512 + 2 * 512**2 + 512),
        "pfn": 2 * (100 * (7 * 100 + 100 * 100 + 100 * 256) + 256 * 100 + 2 * 100**2 + 100),
        "autoencoder": 4 * (1600 * 128 + 128 * 32 + 32 * 8),
    }
    for name, expected in products.items():
        # Biases, activations and the pooling come on top.
        assert 1 <= problems.forward_flops(problems.PROBLEMS[name].make(problems.sample(2))) / expected < 1.03, name


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["dense", "cnn", "pfn", "autoencoder"])
def test_a_twin_has_the_same_loss_and_gradient(torch, name):
    from benchmarks.training import peers

    problem = tiny(name)
    params = problem.model.init(KEY)
    loss = problems.recipe(problem).loss
    value, gradient = jax.jit(jax.value_and_grad(lambda p, data: loss(p, data)[0]))(params, problem.data)
    twin = peers.twin(name, params)
    (y,) = peers.tensors(problem.data.y)
    theirs = peers.LOSSES[problem.example_loss](twin(*peers.tensors(problem.data.x)), y)
    theirs.backward()
    assert theirs.dtype == torch.float64
    np.testing.assert_allclose(theirs.item(), value, rtol=1e-12)
    # The twin made of our gradient holds it in PyTorch's layout.
    for parameter, same in zip(twin.parameters(), peers.twin(name, gradient).parameters(), strict=True):
        expected = same.detach().numpy()
        np.testing.assert_allclose(parameter.grad, expected, atol=1e-11 * np.abs(expected).max(), rtol=0)


@pytest.mark.usefixtures("x64", "torch")
def test_a_twin_takes_the_same_steps():
    """One batch holds all data, so that the order, which each side draws by itself, does not matter."""
    from benchmarks.training import peers

    problem = tiny("dense")
    state = init_state(problems.recipe(problem), KEY)
    twin = peers.twin("dense", state.params)
    train, train_twin = ours.program(problem), peers.make_epoch(twin, problem, portions=2)
    for _ in range(3):
        state, loss = train(state, problem.data)
        assert train_twin() == pytest.approx(float(loss), rel=1e-10)
    for parameter, expected in zip(twin.parameters(), peers.twin("dense", state.params).parameters(), strict=True):
        # Adam's eps of 1e-8 makes roundings of 1e-16 in a gradient 1e-8 of a step of 1e-3; the weight decay of a bias
        # would be 1e-5 of some 1e-3.
        np.testing.assert_allclose(parameter.detach(), expected.detach(), atol=1e-10, rtol=0)


def test_without_torch_its_names_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert training.parse([]).peers == ["none"]
    with pytest.raises(SystemExit):
        training.parse(["--peers", "eager"])
    assert "PyTorch is not installed" in capsys.readouterr().err


def test_the_product_is_timed_and_described():
    described = machine.describe(size=64)
    assert described["matrix_product"]["size"] == 64
    assert math.isfinite(described["matrix_product"]["gflops"])
    json.dumps(described, allow_nan=False)
