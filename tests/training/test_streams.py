"""A training on a stream: the same examples as in memory, stopped and resumed anywhere."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxsci.core import Batch
from jaxsci.data import sources, streaming
from jaxsci.errors import InputError, StopTraining
from jaxsci.losses import objective_for, squared_error
from jaxsci.models import dense
from jaxsci.training import Recipe, Settings, _loop, adamw, device_mesh, fit, fit_ensemble

N, BATCH, BLOCK = 200, 8, 48
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5], np.float32))[:, None]
MODEL = dense.model(dense.Config(3, hidden=(4,), outputs=1))
RECIPE = Recipe(MODEL, objective_for(MODEL, squared_error), adamw(1e-2))
VALIDATION = Batch(X[:16], Y[:16], np.ones(16, np.float32))
SETTINGS = Settings(epochs=3, batch_size=BATCH)
KEY = jax.random.key(1)


def as_batch(rows):
    return Batch(rows["x"], rows["y"], np.ones(len(rows["x"]), np.float32))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    for number, rows in enumerate(np.array_split(np.arange(N), 7)):
        np.savez(folder / f"{number}.npz", x=X[rows], y=Y[rows])
    return sources.source(folder / "*.npz")


def equal(here, there):
    jax.tree.map(np.testing.assert_array_equal, here, there)


def test_one_block_is_a_training_in_memory_in_another_order(source):
    # With one step an epoch the order changes nothing but rounding.
    settings = Settings(epochs=3, batch_size=N)
    memory = fit(RECIPE, Batch(X, Y, np.ones(N, np.float32)), VALIDATION, key=KEY, settings=settings)
    stream = fit(RECIPE, streaming.Stream(source, as_batch, N), VALIDATION, key=KEY, settings=settings)
    for here, there in zip(jax.tree.leaves(stream.params), jax.tree.leaves(memory.params), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6)


def test_each_example_once_an_epoch(source):
    seen = []

    def noted(rows):
        return as_batch(rows)

    def loss(params, batch):
        jax.debug.callback(
            lambda x, w: seen.extend(np.asarray(x)[np.asarray(w) > 0, 0].tolist()), batch.x, batch.weight, ordered=True
        )
        return objective_for(MODEL, squared_error)(params, batch)

    recipe = RECIPE._replace(loss=loss)
    result = fit(
        recipe,
        streaming.Stream(source, noted, BLOCK),
        VALIDATION,
        key=KEY,
        settings=Settings(epochs=1, batch_size=BATCH),
    )
    trained = seen[:N]  # the validation part follows
    np.testing.assert_array_equal(np.sort(trained), np.sort(X[:, 0]))
    assert trained != X[:, 0].tolist()
    assert result.best_epoch == 1


def test_stopped_five_times_and_resumed_is_bit_for_bit_the_same(source, tmp_path):
    stream = streaming.Stream(source, as_batch, BLOCK)
    whole = fit(RECIPE, stream, VALIDATION, key=KEY, settings=SETTINGS)
    calls = 0

    def stops(now):
        nonlocal calls
        calls += 1
        if calls % 7 == 0 and stopped < 5:
            raise StopTraining

    run = partial(fit, RECIPE, stream, VALIDATION, key=KEY, settings=SETTINGS, checkpoints=tmp_path, progress=stops)
    stopped, within = 0, 0
    while True:
        try:
            result = run(resume=stopped > 0)
        except StopTraining as error:
            stopped += 1
            within += "in epoch" in str(error)
        else:
            break
    assert stopped == 5
    assert within >= 2  # not only between epochs
    equal(result.last_params, whole.last_params)
    equal(result.opt_state, whole.opt_state)
    assert [r["train_loss"] for r in result.history] == [r["train_loss"] for r in whole.history]


def test_an_epoch_goes_on_with_the_blocks_it_began_with(source, tmp_path):
    def stops(now):
        raise StopTraining

    run = partial(fit, RECIPE, validation=VALIDATION, key=KEY, settings=SETTINGS, checkpoints=tmp_path)
    with pytest.raises(StopTraining, match="in epoch 1"):
        run(train=streaming.Stream(source, as_batch, BLOCK), progress=stops)
    for other in (streaming.Stream(source, as_batch, 2 * BLOCK), as_batch({"x": X, "y": Y})):
        with pytest.raises(InputError, match="expected to go on with an epoch of blocks of 48 examples, got"):
            run(train=other, resume=True)


def test_an_epoch_begun_in_another_order_is_refused(source, tmp_path, monkeypatch):
    """Which would take some examples of its block twice and others never."""

    def stops(now):
        raise StopTraining

    stream = streaming.Stream(source, as_batch, BLOCK)
    run = partial(fit, RECIPE, stream, VALIDATION, key=KEY, settings=SETTINGS, checkpoints=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(_loop, "ORDER", None)  # an earlier version noted none
        with pytest.raises(StopTraining, match="in epoch 1"):
            run(progress=stops)
    with pytest.raises(InputError, match=r"/1: expected to go on within an epoch in the order of this version"):
        run(resume=True)


def test_members_of_an_ensemble_equal_their_own_training(source):
    stream = streaming.Stream(source, as_batch, BLOCK)
    keys = jax.random.split(KEY, 2)
    members = fit_ensemble(lambda hyper: RECIPE, {}, stream, VALIDATION, keys=keys, settings=SETTINGS)
    one = fit(RECIPE, stream, VALIDATION, key=keys[1], settings=SETTINGS)
    for here, there in zip(jax.tree.leaves(members.last_params), jax.tree.leaves(one.last_params), strict=True):
        np.testing.assert_allclose(here[1], there, rtol=1e-4, atol=1e-6)


def test_blocks_that_fit_no_batches_are_refused(source):
    with pytest.raises(InputError, match="multiple of the batch size 8, got 50"):
        fit(RECIPE, streaming.Stream(source, as_batch, 50), VALIDATION, key=KEY, settings=SETTINGS)
    stream = streaming.Stream(source, as_batch, BLOCK)
    with pytest.raises(InputError, match="split_data"):
        fit(RECIPE, stream, VALIDATION, key=KEY, settings=Settings(1, BATCH, split_data=True), mesh=device_mesh())


KILLED = """
import sys, os
from pathlib import Path
import jax, numpy as np
sys.path.insert(0, sys.argv[5])
import test_streams as t
from jaxsci.data import sources, streaming
from jaxsci.training import Settings, fit

def noted(rows):
    return t.as_batch(rows)

if __name__ == "__main__":
    folder, checkpoints, out, most = sys.argv[1:5]
    source = sources.source(Path(folder) / "*.npz")
    calls = 0

    def dies(now):
        global calls
        calls += 1
        if calls == int(most):
            os.kill(os.getpid(), 9)

    with streaming.Workers(1) as workers:
        stream = streaming.Stream(source, noted, t.BLOCK, workers=workers)
        settings = Settings(epochs=3, batch_size=t.BATCH, checkpoint_minutes=0)
        resume = Path(checkpoints).is_dir() and any(Path(checkpoints).iterdir())
        result = fit(t.RECIPE, stream, t.VALIDATION, key=t.KEY, settings=settings, checkpoints=Path(checkpoints), resume=resume,
                     progress=dies)
    np.savez(out, *[np.asarray(leaf) for leaf in jax.tree.leaves(result.last_params)])
"""


@pytest.mark.slow
def test_killed_five_times_and_resumed_is_bit_for_bit_the_same(source, tmp_path):
    whole = fit(RECIPE, streaming.Stream(source, as_batch, BLOCK), VALIDATION, key=KEY, settings=SETTINGS)
    (tmp_path / "killed.py").write_text(KILLED)
    arguments = [
        sys.executable,
        tmp_path / "killed.py",
        source.paths[0].parent,
        tmp_path / "checkpoints",
        tmp_path / "out.npz",
    ]
    here = Path(__file__).parent
    for kill in range(5):
        assert subprocess.run([*arguments, str(3 + kill), here], check=False).returncode == -signal.SIGKILL
    subprocess.run([*arguments, "0", here], check=True)
    with np.load(tmp_path / "out.npz") as result:
        for here, there in zip(result.values(), jax.tree.leaves(whole.last_params), strict=True):
            np.testing.assert_array_equal(here, there)
