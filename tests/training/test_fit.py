"""Training: steps, epochs, early stopping, ensembles, checkpoints, failures."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import binary_cross_entropy, objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.training import (
    Recipe,
    Settings,
    TrainingDivergedError,
    checkpoint,
    fit,
    fit_ensemble,
    make_step,
)
from jaxsci.training import _early_stopping as early_stopping
from jaxsci.training import _epoch as epoch
from jaxsci.training._step import loss_and_gradient, mean_metrics
from jaxsci.training.optimizers import adamw, warmup_cosine
from tests.training.small import KEY, LOSS, MODEL, data, recipe, start, train

COMPILED = jax.jit(LOSS)


def test_a_step_is_gradient_descent():
    rule = optax.sgd(0.1)
    state = start(recipe(optimizer=rule))
    batch = jax.tree.map(jnp.asarray, data(16))
    new, metrics = jax.jit(make_step(recipe(optimizer=rule)))(state, batch)
    loss, gradient = jax.jit(jax.value_and_grad(lambda p: LOSS(p, batch)[0]))(state.params)
    expected = jax.tree.map(lambda p, g: np.asarray(p) - 0.1 * np.asarray(g), state.params, gradient)
    chex.assert_trees_all_close(new.params, expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    assert int(new.step) == 1


def test_an_epoch_equals_its_steps_one_by_one():
    one = recipe()
    state, examples = start(one), jax.tree.map(jnp.asarray, data(100))
    order = epoch.shuffled(jax.random.key(7), 100, 32)
    scanned, active, metrics = jax.jit(lambda s: epoch.train_steps(one, s, jnp.ones((), bool), examples, order))(state)
    step = jax.jit(lambda state, indices, mask: make_step(one)(state, epoch.take(examples, indices, mask))[0])
    for indices, mask in zip(*map(np.asarray, order), strict=True):
        state = step(state, indices, mask)
    chex.assert_trees_all_close(scanned.params, state.params, rtol=1e-4, atol=1e-6)  # float32, another order of sums
    assert bool(active)
    np.testing.assert_array_equal(metrics["weight"], [32, 32, 32, 4])


def test_every_example_is_seen_once_an_epoch():
    order = epoch.shuffled(KEY, 100, 32)
    seen = np.asarray(order.indices)[np.asarray(order.mask) == 1]
    np.testing.assert_array_equal(np.sort(seen), np.arange(100))
    assert not np.array_equal(seen, np.arange(100))


def test_a_stratified_batch_has_one_example_of_each_part():
    order = epoch.stratified(KEY, 96, 16)
    indices = np.asarray(order.indices)
    assert np.asarray(order.mask).all()
    np.testing.assert_array_equal(indices // 6, np.tile(np.arange(16), (6, 1)))
    np.testing.assert_array_equal(np.sort(indices.ravel()), np.arange(96))
    assert not np.array_equal(indices, np.sort(indices, axis=0))


def test_evaluation_is_the_exact_mean_whatever_the_batches():
    params, examples = jax.jit(MODEL.init)(KEY), jax.tree.map(jnp.asarray, data(100))
    expected = COMPILED(params, examples)[0]
    for batch_size in (7, 32, 100, 128):
        order = epoch.in_order(100, batch_size)
        found = jax.jit(lambda params, order=order: epoch.evaluate(LOSS, params, examples, order)["loss"])(params)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("microbatches", [2, 4, 16])
def test_gradients_in_portions_equal_the_gradient_at_once(microbatches):
    def computed(batch, **options):
        return jax.jit(lambda params, batch: loss_and_gradient(LOSS, params, batch, **options))(params, batch)

    params = jax.jit(MODEL.init)(KEY)
    batch = jax.tree.map(lambda a: np.asarray(a, np.float64), data(16))
    batch.weight[9:] = 0.0  # the last microbatches are padding alone
    whole, parts = (computed(batch, microbatches=n) for n in (1, microbatches))
    chex.assert_trees_all_close(parts, whole, rtol=1e-12)
    with pytest.raises(InputError, match="divisor of the batch size 16"):
        loss_and_gradient(LOSS, params, batch, microbatches=3)
    odd = jax.tree.map(lambda leaf: leaf[:7], batch)
    (value, _), _ = computed(odd)  # all at once unless said otherwise
    np.testing.assert_allclose(value, COMPILED(params, odd)[0], rtol=1e-6)


def test_means_over_batches_without_weight_are_zero():
    metrics = {"weight": np.zeros((2, 3), np.float32), "loss": np.ones((2, 3), np.float32)}
    metrics["weight"][1] = [1, 0, 3]
    metrics["loss"][1] = [2, 9, 6]
    np.testing.assert_array_equal(mean_metrics(metrics)["loss"], [0, 5])


def test_training_learns_and_keeps_the_best_epoch():
    result = train(recipe(3e-2), Settings(epochs=40, batch_size=32))
    losses = [record["validation_loss"] for record in result.history]
    assert losses[-1] < 0.5 * losses[0]
    assert int(result.best_epoch) == 1 + int(np.argmin(losses))
    validation = jax.tree.map(jnp.asarray, data(50, seed=1))
    np.testing.assert_allclose(COMPILED(result.params, validation)[0], min(losses), rtol=1e-5)


def test_patience_stops_after_so_many_epochs_without_improvement():
    state = jax.jit(partial(early_stopping.init, recipe()))(KEY)
    is_active = jax.jit(lambda state: early_stopping.is_active(state, 2))
    update = jax.jit(
        lambda state, loss: early_stopping.update_best(state, state.train.params, loss, jnp.ones((), bool))
    )
    seen = []
    for loss in (3.0, 2.0, 2.0, 2.4, 9.0):  # one as low as the lowest is no improvement
        seen.append(bool(is_active(state)))
        state = update(state, np.float32(loss))
    assert seen == [True, True, True, True, False]
    assert int(state.best_epoch) == 2
    assert float(state.best_loss) == 2.0


def test_training_compiles_once():
    calls = []

    def counting(params, batch):
        calls.append(batch.weight.shape)
        return LOSS(params, batch)

    train(recipe(loss=counting), Settings(epochs=2, batch_size=32))
    first = len(calls)
    calls.clear()
    train(recipe(loss=counting), Settings(epochs=6, batch_size=32))
    assert len(calls) == first  # more epochs, no more traces


def test_augmentation_is_replayed_by_step_and_differs_between_examples():
    def augment(key, x):
        return x + jax.random.normal(key, x.shape)

    seen = []

    def spy(params, batch):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), batch.x, ordered=True)
        return LOSS(params, batch)

    noisy = recipe(loss=spy, augment=augment)
    batch = jax.tree.map(jnp.asarray, data(8))
    state = start(noisy)
    step = jax.jit(make_step(noisy))
    after, _ = step(state, batch)
    step(state, batch)
    step(after, batch)
    jax.effects_barrier()
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])
    noise = seen[0] - batch.x
    assert len(np.unique(noise[:, 0])) == 8


def test_divergence_names_step_metric_and_checkpoint(tmp_path):
    def never(params, batch):
        value, metrics = LOSS(params, batch)
        return value * jnp.nan, metrics

    with pytest.raises(TrainingDivergedError, match=r"loss became nan in epoch 1, step \d+; no checkpoint was written"):
        train(recipe(loss=never), checkpoints=tmp_path / "a")

    def late(params, batch):  # breaks once the weights have moved far enough
        value, metrics = LOSS(params, batch)
        return jnp.where(value < 0.45, jnp.nan, value), metrics

    with pytest.raises(TrainingDivergedError, match=r"epoch \d+, step \d+; the last good checkpoint is .*b/\d+"):
        train(recipe(loss=late), Settings(epochs=60, batch_size=32), checkpoints=tmp_path / "b")
    assert checkpoint.latest(tmp_path / "b") is not None


def test_the_step_named_in_a_divergence_is_the_first_bad_one():
    def loss(params, batch):
        value, metrics = LOSS(params, batch)
        return jnp.where(jnp.any(batch.x[:, 0] > 50), jnp.inf, value), metrics

    poisoned = data(96)
    poisoned.x[40, 0] = 100.0
    order = epoch.shuffled(jax.random.fold_in(start(recipe()).key, jnp.int32(-1)), 96, 8)
    step = int(np.argwhere(np.asarray(order.indices) == 40)[0, 0])
    with pytest.raises(TrainingDivergedError, match=rf"loss became inf in epoch 1, step {step};"):
        fit(recipe(loss=loss), poisoned, data(50), key=KEY, settings=Settings(epochs=1, batch_size=8))


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_resumed_training_is_bit_identical(tmp_path, ensemble):
    def run(epochs, **options):
        settings = Settings(epochs=epochs, batch_size=32, patience=50)
        parts = data(100), data(50, seed=1)
        if ensemble:
            keys = jax.random.split(KEY, 2)
            return fit_ensemble(lambda hyper: recipe(), {}, *parts, keys=keys, settings=settings, **options)
        return fit(recipe(), *parts, key=KEY, settings=settings, **options)

    whole = run(5)
    run(2, checkpoints=tmp_path)
    resumed = run(5, checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.params, whole.params)
    chex.assert_trees_all_equal(resumed.best_loss, whole.best_loss)
    without_time = [[{k: v for k, v in r.items() if k != "seconds"} for r in f.history] for f in (resumed, whole)]
    assert without_time[0] == without_time[1]


def test_resume_without_or_with_foreign_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="without --resume"):
        train(recipe(), checkpoints=tmp_path / "none", resume=True)
    train(recipe(), checkpoints=tmp_path / "some")
    wider = heads.scalar(dense.model(dense.Config(4, hidden=(9, 8))))
    other = Recipe(wider, objective(wider.apply, binary_cross_entropy), adamw(1e-2))
    with pytest.raises(InputError, match="same model and optimizer"):
        train(other, checkpoints=tmp_path / "some", resume=True)


def test_weight_decay_spares_biases():
    params = {"a": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    optimizer = adamw(1.0, weight_decay=0.1)
    zeros = jax.tree.map(jnp.zeros_like, params)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    np.testing.assert_allclose(updates["a"]["kernel"], -0.1 * np.ones((2, 2)))
    np.testing.assert_array_equal(updates["a"]["bias"], np.zeros(2))


def test_the_schedule_warms_up_and_anneals():
    with jax.numpy_dtype_promotion("standard"):
        factor = [float(warmup_cosine(100)(step)) for step in range(101)]
    assert factor[0] == 0
    assert factor[5] == pytest.approx(1)
    assert factor[100] == pytest.approx(0, abs=1e-6)
    assert max(factor) <= 1
    # The first update of Adam is its learning rate, whatever the gradient: here a factor on it.
    params, gradient = {"kernel": jnp.zeros((1, 1))}, {"kernel": jnp.full((1, 1), 7.0)}
    optimizer = adamw(0.1, schedule=lambda step: 0.25)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.025, rtol=1e-5)


def test_clipping_bounds_the_global_norm_of_the_gradient():
    params = {"kernel": np.zeros((2, 2), np.float32), "bias": np.zeros(2, np.float32)}
    large = {"kernel": np.full((2, 2), 30.0, np.float32), "bias": np.full(2, -40.0, np.float32)}
    norm = float(np.sqrt(4 * 30**2 + 2 * 40**2))
    small = jax.tree.map(lambda leaf: leaf / norm, large)  # of norm 1, below both bounds

    @partial(jax.jit, static_argnames="clip")
    def second_update(first, clip):
        """After a gradient of another size: Adam's second update depends on the ratio of the two."""
        optimizer = adamw(1.0, clip=clip)
        with jax.numpy_dtype_promotion("standard"):
            _, state = optimizer.update(first, optimizer.init(params), params)
            return optimizer.update(small, state, params)[0]

    chex.assert_trees_all_close(second_update(large, 2.0), second_update(jax.tree.map(lambda a: 2 * a, small), None))
    chex.assert_trees_all_close(second_update(large, 2 * norm), second_update(large, None))
    assert float(second_update(large, None)["bias"][0]) < 0.8 * float(second_update(large, 2.0)["bias"][0])


def test_squared_error_reaches_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * rng.normal(size=64)).astype(np.float32)
    linear = heads.scalar(dense.model(dense.Config(3, hidden=())))
    all_of_it = Batch(x, y, np.ones(64, np.float32))
    result = fit(
        Recipe(linear, objective(linear.apply, squared_error), optax.adam(0.05)),
        all_of_it,
        all_of_it,
        key=KEY,
        settings=Settings(epochs=600, batch_size=64),
    )
    design = np.column_stack([x, np.ones(64)]).astype(np.float64)
    solution = np.linalg.lstsq(design, y.astype(np.float64), rcond=None)[0]
    np.testing.assert_allclose(np.ravel(result.params["layer_0"]["kernel"]), solution[:3], atol=1e-3)
    np.testing.assert_allclose(result.params["layer_0"]["bias"], solution[3:], atol=1e-3)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience"])
def test_settings_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"{name}: expected a number of at least 1, got 0"):
        Settings(**{name: 0})
