"""Run by `test_mesh.py` in a process of eight CPU devices: a training split over devices is the training on one."""

import os
import re
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Batch, WeightedSet
from jaxsci.data.sources import source
from jaxsci.data.streaming import Stream
from jaxsci.errors import InputError
from jaxsci.losses import binary_cross_entropy, correct, objective
from jaxsci.models import convolutional, deep_sets, dense, heads
from jaxsci.training import Recipe, Settings, adamw, device_mesh, fit, fit_ensemble, predict
from jaxsci.training import _programs as programs
from jaxsci.training._fit import _silent
from jaxsci.training._loop import Job, _placed

ALL = os.environ.get("JAXSCI_MESH_ALL") == "1"
at_length = pytest.mark.skipif(not ALL, reason="compiles for half a minute")
MODELS = {
    "dense": dense.model(dense.Config(6, hidden=(8,))),
    "cnn": convolutional.model(
        convolutional.Config((8, 8, 1), blocks=(convolutional.Block(4, pool=2), convolutional.Block(4)), dense=(8,))
    ),
    "pfn": deep_sets.model(deep_sets.Config(3, phi=(8, 8), rho=(8,))),
}
EXAMPLES, BATCH = 313, 16  # 20 steps an epoch; of the last batch most devices see nothing
KEY = jax.random.key(4)


def inputs(name, rng, examples):
    if name == "pfn":
        weights = rng.dirichlet(np.ones(5), examples) * (rng.uniform(size=(examples, 5)) > 0.2)
        return WeightedSet(rng.normal(size=(examples, 5, 3)), weights)
    return rng.normal(size=(examples, *((8, 8, 1) if name == "cnn" else (6,))))


def data(name, examples=EXAMPLES, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    batch = Batch(inputs(name, rng, examples), rng.integers(0, 2, examples), rng.uniform(0.5, 2.0, examples))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), batch)


def noise(key, x):
    return jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(key, leaf.shape, leaf.dtype), x)


def recipe(name, dtype=np.float32):
    model = heads.scalar(MODELS[name])
    typed = model._replace(init=lambda key: jax.tree.map(lambda leaf: leaf.astype(dtype), model.init(key)))
    loss = objective(model.apply, binary_cross_entropy, metrics={"accuracy": correct})
    return Recipe(typed, loss, adamw(dtype(3e-3), clip=1.0), noise, microbatches=2)


SMALL = recipe("dense")._replace(augment=None, microbatches=1, optimizer=optax.sgd(0.1))


def train(name, epochs=10, dtype=np.float32, split_data=False, **options):
    parts = data(name, dtype=dtype), data(name, 50, 1, dtype)
    return fit(recipe(name, dtype), *parts, key=KEY, settings=Settings(epochs, BATCH, split_data=split_data), **options)


def assert_close(found, wanted, tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize(
    ("name", "dtype", "split_data", "devices"),
    [
        (name, dtype, split_data, (2, 4, 8) if ALL else (4,))
        for name in MODELS
        for dtype in (np.float32, np.float64)
        for split_data in (False, True)
        if ALL or (name, dtype, split_data) == ("dense", np.float64, True)
    ],
)
def test_two_hundred_steps_are_those_of_one_device(name, dtype, split_data, devices):
    with jax.enable_x64(dtype == np.float64):
        alone = train(name, dtype=dtype, split_data=split_data)
        for number in devices:
            found = train(name, dtype=dtype, split_data=split_data, mesh=device_mesh(data=number))
            tolerance = 1e-5 if dtype == np.float32 else 1e-12
            assert_close(found.last_params, alone.last_params, tolerance)
            assert_close(found.params, alone.params, tolerance)
            for a, b in zip(found.history, alone.history, strict=True):
                for metric in a.keys() - {"seconds"}:
                    np.testing.assert_allclose(a[metric], b[metric], rtol=10 * tolerance, err_msg=metric)


def collectives(name, dtype, split_data):
    """The bytes of every collective in the compiled steps, by its kind, and the temporaries in bytes."""
    plan = programs.Plan(BATCH, None, split_data)
    job = Job(
        programs.Always(recipe(name, dtype)),
        plan,
        {},
        KEY,
        data(name, dtype=dtype),
        data(name, 50, 1, dtype),
        None,
        None,
        _silent,
    )
    job = _placed(job, device_mesh(data=4))
    made = programs.programs(job.recipe, job.plan)
    state = made.init(job.key, job.hyper)
    order = made.order(state, 0, job.train.weight.shape[0], None)
    span = np.int32(0), np.int32(1)
    text = made.train.lower(state, {}, jnp.ones((), bool), order, job.train, span).compile().as_text()
    sizes = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "pred": 1}
    found = {}
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter"
    for result, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", result):
            count = int(np.prod([int(n) for n in shape.split(",") if n], dtype=int))
            found[kind] = found.get(kind, 0) + sizes[dtype] * count
    return found, sum(leaf.nbytes for leaf in jax.tree.leaves(state.train.params))


@pytest.mark.parametrize(
    ("name", "dtype", "split_data"), [("cnn", np.float32, False)] * ALL + [("pfn", np.float64, True)]
)
def test_a_step_exchanges_gradients_and_metrics_alone(name, dtype, split_data):
    with jax.enable_x64(dtype == np.float64):
        found, parameters = collectives(name, dtype, split_data)
    numbers = 4  # loss twice (as value and metric), accuracy, and the sum of weights
    assert parameters < found.pop("all-reduce") <= parameters + np.dtype(dtype).itemsize * numbers
    assert not found


def swept(hyper):
    return SMALL._replace(optimizer=optax.sgd(hyper["learning_rate"]))


def ensemble(keys, epochs=3, mesh=None, **options):
    hyper = {"learning_rate": jnp.geomspace(1e-3, 1e-1, keys.size).astype(jnp.float32)}
    parts = data("dense"), data("dense", 50, 1)
    return fit_ensemble(swept, hyper, *parts, keys=keys, settings=Settings(epochs, BATCH), mesh=mesh, **options)


@at_length
@pytest.mark.parametrize("sequential", [False, True])
def test_members_and_batches_split_at_once(tmp_path, sequential):
    keys = jax.random.split(KEY, 4)
    alone = ensemble(keys)
    mesh = device_mesh(member=2, data=4)
    both = ensemble(keys, mesh=mesh, sequential=sequential)
    assert len(both.best_loss.sharding.device_set) == 8
    chex.assert_trees_all_close(both.last_params, alone.last_params, rtol=1e-4, atol=1e-5)
    ensemble(keys, 2, mesh, sequential=sequential, checkpoints=tmp_path)
    resumed = ensemble(keys, checkpoints=tmp_path, resume=True)  # written by eight devices, read by one
    chex.assert_trees_all_close(resumed.last_params, alone.last_params, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sequential", [False] * ALL + [True])
def test_hyperparameters_go_where_the_keys_of_the_members_lie(sequential):
    mesh = jax.make_mesh((4,), ("member",), axis_types=(AxisType.Explicit,))
    keys = jax.random.split(KEY, 4)
    split = jax.device_put(keys, NamedSharding(mesh, PartitionSpec("member")))
    found, alone = (ensemble(k, epochs=1, sequential=sequential).last_params for k in (split, keys))
    chex.assert_trees_all_close(found, alone, rtol=1e-4, atol=1e-5)


@at_length
def test_eight_members_on_four_devices_take_a_quarter_of_the_memory():
    def temporaries(mesh):
        keys = jax.random.split(KEY, 8)
        plan = programs.Plan(BATCH, None, ensemble=True)
        one = programs.Always(SMALL._replace(model=(cnn := recipe("cnn")).model, loss=cnn.loss))
        job = _placed(Job(one, plan, {}, keys, data("cnn"), data("cnn", 50, 1), None, None, _silent), mesh)
        made = programs.programs(job.recipe, job.plan)
        state = made.init(job.key, job.hyper)
        order = made.order(state, 0, EXAMPLES, None)
        span = np.int32(0), np.int32(1)
        compiled = made.train.lower(state, {}, jnp.ones(8, bool), order, job.train, span).compile()
        assert "all-gather" not in compiled.as_text()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(device_mesh(member=4, data=1)) <= 1.2 * temporaries(None) / 4


@pytest.mark.parametrize("kind", [AxisType.Auto] * ALL + [AxisType.Explicit])
def test_data_that_lie_split_are_trained_where_they_lie_and_keep_their_order(kind):
    mesh = Mesh(np.array(jax.devices()[:4]), ("rows",), axis_types=(kind,))
    split = jax.device_put(data("dense", 320), NamedSharding(mesh, PartitionSpec("rows")))
    options = {"key": KEY, "settings": Settings(2, BATCH)}
    found = fit(SMALL, split, data("dense", 50, 1), **options)
    assert len(found.best_loss.sharding.device_set) == 4
    alone = fit(SMALL, data("dense", 320), data("dense", 50, 1), **options)
    assert_close(found.last_params, alone.last_params, 1e-5)


def as_batch(rows):
    return Batch(rows["x"], rows["y"], rows["weight"])


def test_every_device_has_its_share_of_a_stream(tmp_path):
    parts = data("dense")
    for number, rows in enumerate(np.array_split(np.arange(EXAMPLES), 5)):
        np.savez(tmp_path / f"{number}.npz", x=parts.x[rows], y=parts.y[rows], weight=parts.weight[rows])
    # The last block holds two examples, so that most devices have none of it.
    stream = Stream(source(tmp_path / "*.npz"), as_batch, 3 * BATCH, np.arange(6 * 3 * BATCH + 2))
    options = {"key": KEY, "settings": Settings(2, BATCH)}
    found, alone = (
        fit(SMALL, stream, data("dense", 50, 1), **options, mesh=mesh) for mesh in (device_mesh(data=4), None)
    )
    assert_close(found.last_params, alone.last_params, 1e-5)


SAM = optax.contrib.sam(optax.sgd(1e-2), optax.sgd(0.05), opaque_mode=True)


@at_length
@pytest.mark.parametrize("optimizer", [SAM, optax.lbfgs()])
def test_optimizers_that_ask_for_the_loss_get_that_of_the_whole_batch(optimizer):
    # In float64: a line search takes another step where rounding turns a comparison of losses.
    with jax.enable_x64(True):
        one = recipe("dense", np.float64)._replace(augment=None, microbatches=1, optimizer=optimizer)
        parts = data("dense", dtype=np.float64), data("dense", 50, 1, np.float64)
        options = {"key": KEY, "settings": Settings(1, BATCH)}
        found, alone = (fit(one, *parts, **options, mesh=mesh) for mesh in (device_mesh(data=4), None))
        assert_close(found.last_params, alone.last_params, 1e-9)


def test_a_loss_between_examples_is_refused():
    plain = recipe("dense")

    def contrast(params, batch):
        outputs = jax.vmap(partial(plain.model.apply, params))(batch.x)
        value = jnp.var(outputs)
        return value, {"loss": value}

    with pytest.raises(InputError, match=r"^mesh: expected a loss that is the mean .* train on one device$"):
        fit(
            plain._replace(loss=contrast),
            data("dense"),
            data("dense"),
            key=KEY,
            settings=Settings(1, BATCH),
            mesh=device_mesh(),
        )


def test_predictions_of_split_batches():
    model, x = MODELS["dense"], data("dense").x
    params = model.init(KEY)
    found = predict(model.apply, params, x, batch_size=64, mesh=device_mesh(member=2))
    np.testing.assert_allclose(found, predict(model.apply, params, x, batch_size=64), rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="multiple of the 8 devices"):
        predict(model.apply, params, x, batch_size=30, mesh=device_mesh())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: train("dense", mesh=device_mesh(data=3)),
            "batch_size: expected a multiple of the 3 devices .*, got 16",
        ),
        (lambda: train("dense", mesh=device_mesh(member=2)), "mesh: expected no axis member for one training, got 2"),
        (
            lambda: device_mesh(member=3, data=4),
            r"mesh: expected at most 8 devices, .* got 3 \(member\) times 4 \(data\)",
        ),
        (lambda: device_mesh(member=0), "member: expected a number of devices, at least 1, got 0"),
        (
            lambda: train("dense", mesh=Mesh(np.array(jax.devices()), ("x",))),
            "mesh: expected the axes member and data, got x",
        ),
        (
            lambda: ensemble(jax.random.split(KEY, 3), mesh=device_mesh(member=2)),
            "mesh: expected a divisor of the 3 members, got 2",
        ),
        (
            lambda: fit(
                SMALL._replace(measure=lambda params, batch: {"largest": batch.x.max()}),
                *(data("dense", 320), data("dense", 64, 1)),
                key=KEY,
                settings=Settings(1, BATCH, split_data=True),
                mesh=device_mesh(data=4),
            ),
            "measure: expected data that every device holds whole",
        ),
    ],
)
def test_meshes_that_do_not_fit_are_refused(make, message):
    with pytest.raises(InputError, match=f"^{message}"):
        make()
