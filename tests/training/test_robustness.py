"""Training in other hands: data that hold nothing, half precision, every kind of optimizer, folders and keys of every kind."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.training import Recipe, Settings, adamw, ema_params, fit, fit_ensemble, with_ema
from jaxsci.training import _step as step

MODEL = heads.scalar(dense.model(dense.Config(3, hidden=(4,))))
LOSS = objective(MODEL.apply, squared_error)
RECIPE = Recipe(MODEL, LOSS, adamw(1e-2))
KEY = jax.random.key(0)
SHORT = Settings(epochs=2, batch_size=16)


def data(examples, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, 3)).astype(np.float32)
    return Batch(x, x[:, 0] * 2, np.ones(examples, np.float32))


TRAIN, VALIDATION = data(40), data(20, 1)


def train(recipe=RECIPE, settings=SHORT, key=KEY, **options):
    return fit(recipe, TRAIN, VALIDATION, key=key, settings=settings, **options)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b._replace(weight=0 * b.weight), "positive sum, got 0"),
        (lambda b: jax.tree.map(lambda leaf: leaf[:0], b), "at least one example, got none"),
        (lambda b: b._replace(weight=np.where(np.arange(len(b.y)) == 7, np.nan, b.weight)), "got nan in row 7"),
        (lambda b: b._replace(y=b.y[:-1]), r"\.y: expected \[\d+, ...\], an entry for every weight"),
        (lambda b: b._replace(weight=b.weight[:, None]), "got an array of 2 axes"),
    ],
)
def test_data_that_hold_no_loss_are_refused(part, change, message):
    parts = {"train": TRAIN, "validation": VALIDATION}
    parts[part] = change(parts[part])
    with pytest.raises(InputError, match=f"^{part}.*{message}"):
        fit(RECIPE, parts["train"], parts["validation"], key=KEY, settings=SHORT)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("field", ["x", "y"])
def test_what_is_not_finite_in_the_data_is_named_with_its_first_row(part, field):
    parts = {"train": TRAIN, "validation": VALIDATION}
    values = getattr(parts[part], field).copy()
    values[[5, 11, 17]] = np.nan
    weight = parts[part].weight.copy()
    weight[5] = 0  # padding may be anything
    parts[part] = parts[part]._replace(**{field: values}, weight=weight)
    with pytest.raises(InputError, match=rf"^{part}\.{field}: expected finite numbers, got nan in row 11, .* of 2;"):
        fit(RECIPE, parts["train"], parts["validation"], key=KEY, settings=SHORT)


def test_resuming_needs_a_folder():
    with pytest.raises(InputError, match="expected a folder of checkpoints"):
        train(resume=True)


@pytest.mark.parametrize("later", [1, 3])
def test_a_new_training_takes_the_place_of_the_one_in_its_folder(tmp_path, later):
    train(checkpoints=tmp_path)
    other = jax.random.key(9)
    train(settings=Settings(later, 16), key=other, checkpoints=tmp_path)
    resumed = train(settings=Settings(4, 16), key=other, checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.last_params, train(settings=Settings(4, 16), key=other).last_params)


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_keep_their_implementation(tmp_path, implementation):
    key = jax.random.key(3, impl=implementation)
    train(key=key, checkpoints=tmp_path)
    resumed = train(settings=Settings(3, 16), key=key, checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.last_params, train(settings=Settings(3, 16), key=key).last_params)
    others = {"rbg", "unsafe_rbg", "threefry2x32"} - {implementation}
    for other in others:
        with pytest.raises(InputError, match="arrays differ"):
            train(key=jax.random.key(3, impl=other), checkpoints=tmp_path, resume=True)


OPTIMIZERS = {
    "lbfgs": optax.lbfgs(),
    "plateau": optax.chain(optax.adam(1e-2), optax.contrib.reduce_on_plateau(patience=1)),
    "polyak": optax.polyak_sgd(max_learning_rate=0.1),
    "sam": optax.contrib.sam(optax.sgd(1e-2), optax.sgd(0.05), opaque_mode=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_that_need_the_loss_train(name):
    result = train(RECIPE._replace(optimizer=OPTIMIZERS[name]), Settings(3, 20))
    losses = [record["train_loss"] for record in result.history]
    assert losses[-1] < losses[0]


def test_an_update_that_asks_for_something_else_is_refused():
    strange = optax.GradientTransformationExtraArgs(lambda params: (), lambda u, s, p=None, *, weather: (u, s))
    with pytest.raises(InputError, match="value, grad, value_fn or grad_fn"):
        train(RECIPE._replace(optimizer=strange))


def test_the_average_of_the_parameters_is_evaluated_and_kept():
    averaged = RECIPE._replace(optimizer=with_ema(optax.sgd(0.05), 0.9), eval_params=ema_params)
    state = jax.jit(partial(step.init_state, averaged))(KEY)
    advance = jax.jit(step.make_step(averaged))
    mean = state.params
    for _ in range(4):
        state, _ = advance(state, jax.tree.map(jnp.asarray, TRAIN))
        mean = jax.tree.map(lambda m, a: 0.9 * np.asarray(m) + 0.1 * np.asarray(a), mean, state.params)
    chex.assert_trees_all_close(ema_params(state.opt_state, state.params), mean, rtol=1e-5)
    keys = jax.random.split(KEY, 2)
    result = fit_ensemble(lambda hyper: averaged, {}, TRAIN, VALIDATION, keys=keys, settings=SHORT)
    assert result.best_epoch.tolist() == [2, 2]
    chex.assert_trees_all_equal(result.params, result.opt_state.average)
    validation = jax.jit(jax.vmap(lambda params: LOSS(params, VALIDATION)[0]))(result.params)
    np.testing.assert_allclose(result.best_loss, validation, rtol=1e-5)
    assert not np.allclose(result.params["layer_0"]["kernel"], result.last_params["layer_0"]["kernel"])


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_second_training_traces_nothing(ensemble):
    traces, seen = [], []

    def counting(params, batch):
        traces.append(batch)
        return LOSS(params, batch)

    recipe = RECIPE._replace(loss=counting)
    member = lambda hyper: recipe  # noqa: E731
    for seed in range(3):
        key = jax.random.key(seed)
        run = (
            partial(fit_ensemble, member, {}, keys=jax.random.split(key, 2))
            if ensemble
            else partial(fit, recipe, key=key)
        )
        run(train=data(40, seed), validation=VALIDATION, settings=Settings(1 + seed, 16))
        seen.append(len(traces))
    assert 0 < seen[0] == seen[2]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_added_up_in_float32(dtype):
    many = 70_000  # more than the largest float16
    metrics = {"weight": np.ones(many, dtype), "loss": np.full(many, 0.1, dtype)}
    for arrays in (metrics, jax.tree.map(jnp.asarray, metrics)):
        np.testing.assert_allclose(step.mean_metrics(arrays)["loss"], np.float64(dtype(0.1)), rtol=1e-5)
    batch = Batch(jnp.ones((1024, 3)), jnp.ones(1024), jnp.full(1024, 100, dtype))
    params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), dtype), jax.jit(MODEL.init)(KEY))
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), params)
    wanted = jax.jit(jax.grad(lambda p: LOSS(p, batch._replace(weight=batch.weight.astype(jnp.float32)))[0]))(exact)
    loss = objective(lambda p, x: MODEL.apply(p, x.astype(dtype)), squared_error)
    for microbatches in (1, 8):
        # Not as one program, in which XLA may keep more digits than the types have.
        (_, found), gradient = step.loss_and_gradient(loss, params, batch, microbatches=microbatches)
        assert float(found["weight"]) == 102_400.0
        chex.assert_trees_all_equal_dtypes(gradient, params)
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), gradient), wanted, rtol=0.1, atol=0.05
        )
