"""Trainings that are stopped anywhere, and checkpoints that something happened to."""

import itertools
import json
import shutil
import threading

import chex
import jax
import numpy as np
import optax
import pytest

from jaxsci.cli import mistakes
from jaxsci.core import Batch
from jaxsci.errors import InputError
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.training import Recipe, Settings, StopTraining, checkpoint, fit, fit_ensemble
from jaxsci.training.checkpoint import Saver, Writer

MODEL = heads.scalar(dense.model(dense.Config(3, hidden=(4,))))
RECIPE = Recipe(MODEL, objective(MODEL.apply, squared_error), optax.adam(1e-2))
KEY = jax.random.key(0)


def data(examples, seed=0):
    x = np.random.default_rng(seed).normal(size=(examples, 3)).astype(np.float32)
    return Batch(x, x[:, 0] * 2, np.ones(examples, np.float32))


def member(hyper):
    return RECIPE


def train(ensemble=False, epochs=4, minutes=None, **options):
    settings = Settings(epochs, 8, checkpoint_minutes=minutes)
    parts = data(100), data(20, 1)
    if ensemble:
        return fit_ensemble(member, {}, *parts, keys=jax.random.split(KEY, 2), settings=settings, **options)
    return fit(RECIPE, *parts, key=KEY, settings=settings, **options)


def without_seconds(history):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


@pytest.mark.parametrize("ensemble", [False, True])
def test_a_training_stopped_within_epochs_goes_on_bit_for_bit(tmp_path, ensemble):
    whole = train(ensemble)
    for after in itertools.count(1):
        calls = itertools.count(1)

        def progress(now, calls=calls, after=after):
            if next(calls) == after:
                raise StopTraining

        try:
            resumed = train(ensemble, checkpoints=tmp_path, resume=after > 1, progress=progress)
            break
        except StopTraining:
            continue
    assert after > 3
    chex.assert_trees_all_equal(resumed.last_params, whole.last_params)
    chex.assert_trees_all_equal(resumed.params, whole.params)
    assert without_seconds(resumed.history) == without_seconds(whole.history)


def test_checkpoints_by_the_clock_fall_within_epochs(tmp_path):
    found = set()
    train(checkpoints=tmp_path, minutes=0, progress=lambda now: found.add(checkpoint.latest(tmp_path)))
    assert len(found) > 4
    shutil.rmtree(tmp_path)
    found.clear()
    train(checkpoints=tmp_path, minutes=60, progress=lambda now: found.add(checkpoint.latest(tmp_path)))
    assert found == {None}
    assert checkpoint.latest(tmp_path) == 4  # the end is always kept


def test_writing_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    saver = Saver(tmp_path, None)
    assert saver.due(epoch_ends=True)  # the first
    assert not saver.due(epoch_ends=False)
    saver.save({"a": np.zeros(3)}, [{}])
    saver.writer.wait()
    for seconds, passed, due in ((0.1, 4.9, False), (0.1, 5.1, True), (np.inf, 1e9, False)):
        monkeypatch.setattr(Writer, "seconds", seconds)
        clock[0] = 100 + passed
        assert saver.due(epoch_ends=True) == due
    clock[0] = 161
    assert Saver(tmp_path, 1.0).due(epoch_ends=False) is False
    by_the_clock = Saver(tmp_path, 1.0)
    clock[0] += 60
    assert by_the_clock.due(epoch_ends=False)


def test_the_state_may_change_while_it_is_written(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    begun, changed = threading.Event(), threading.Event()
    save = ocp.CheckpointManager.save

    def slow(self, number, **options):
        begun.set()
        assert changed.wait(60)
        return save(self, number, **options)

    monkeypatch.setattr(ocp.CheckpointManager, "save", slow)
    state = jax.numpy.arange(1e6)
    with Writer(tmp_path) as writer:
        writer.save(1, {"a": state}, [])
        assert begun.wait(60)  # beside this thread
        jax.jit(lambda x: -x, donate_argnums=0)(state).block_until_ready()
        assert writer.seconds == np.inf
        changed.set()
    restored = checkpoint.restore(tmp_path, {"a": jax.ShapeDtypeStruct((1_000_000,), "float32")})
    np.testing.assert_array_equal(restored.state["a"], np.arange(1e6, dtype=np.float32))


def test_a_disk_that_is_full_costs_one_checkpoint(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    train(epochs=1, checkpoints=tmp_path)
    half = tmp_path / "2.orbax-checkpoint-tmp"

    def full(self, number, **options):  # what the library does on a small file system
        half.mkdir()
        raise ValueError("RESOURCE_EXHAUSTED: Failed writing \"...\": No space left on device [os_error_code='28']")

    def none_free(folder):  # which is seen before the library begins, whose threads print tracebacks
        return shutil._ntuple_diskusage(1, 1, 0)

    def too_large(self, number, **options):
        raise ValueError("Failed writing [os_error_code='27']")

    disk, file = "No space left on device", "File too large"
    for owner, name, fault, reason, remedy in (
        (ocp.CheckpointManager, "save", full, disk, "free some disk space"),
        (ocp.CheckpointManager, "save", too_large, file, r"allow larger files \(ulimit -f\)"),
        (shutil, "disk_usage", none_free, disk, "free some disk space"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fault)
            line = rf"the checkpoint 2 could not be written \({reason}\); those before it are whole: {remedy}"
            with pytest.raises(OSError, match=line) as caught:
                train(epochs=2, checkpoints=tmp_path, resume=True)
        assert "go on with --resume" in mistakes.of_user(caught.value)
        assert not half.exists()
    resumed = train(epochs=2, checkpoints=tmp_path, resume=True)
    chex.assert_trees_all_equal(resumed.last_params, train(epochs=2).last_params)


def newest(folder):
    return folder / str(checkpoint.latest(folder))


def every_file(change, name="*"):
    def damage(folder):
        files = [path for path in newest(folder).rglob(name) if path.is_file() and path.stat().st_size]
        assert files
        for path in files:
            change(path)

    return damage


def flip(path):
    """Other numbers in the same number of bytes."""
    content = bytearray(path.read_bytes())
    for i in range(len(content) // 3, len(content), 7):
        content[i] ^= 1
    path.write_bytes(content)


def forget(key):
    def change(path):
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))

    return change


DAMAGE = {
    "everything truncated": every_file(lambda path: path.write_bytes(path.read_bytes()[:20])),
    "everything empty": every_file(lambda path: path.write_bytes(b"")),
    "an empty record": every_file(lambda path: path.write_bytes(b""), "metadata"),
    "a record that is no JSON": every_file(lambda path: path.write_text("{"), "metadata"),
    "a record without history": every_file(forget("history"), "metadata"),
    "a list of files that is no JSON": every_file(lambda path: path.write_text("{"), checkpoint.FILES),
    "no state": lambda folder: shutil.rmtree(newest(folder) / "state"),
    "no record": lambda folder: shutil.rmtree(newest(folder) / "record"),
    "no files of the state": every_file(lambda path: path.unlink() if "state" in path.parts else None),
    "truncated arrays": lambda folder: [
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        for path in (newest(folder) / "state").rglob("*")
        if path.is_file() and "d" in path.parts
    ],
    "other bytes": lambda folder: [
        flip(path) for path in (newest(folder) / "state").rglob("*") if path.is_file() and "d" in path.parts
    ],
    "an empty folder": lambda folder: [shutil.rmtree(path) for path in newest(folder).iterdir() if path.is_dir()],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "checkpoints"
    train(epochs=2, checkpoints=folder)
    return folder


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(trained, tmp_path, kind):
    folder = shutil.copytree(trained, tmp_path / "checkpoints")
    DAMAGE[kind](folder)
    with pytest.raises(InputError) as refused:
        train(epochs=3, checkpoints=folder, resume=True)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{folder}/2: expected a whole checkpoint, got a damaged one")
    if kind == "other bytes":
        shutil.rmtree(folder / "2")
        resumed = train(epochs=3, checkpoints=folder, resume=True)
        chex.assert_trees_all_equal(resumed.last_params, train(epochs=3).last_params)


def test_other_numbers_are_noticed_without_the_list_of_files(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "checkpoints")
    (newest(folder) / checkpoint.FILES).unlink()  # which a process that was killed may not have written

    def change(path):
        record = json.loads(path.read_text())
        record["sums"] = {name: value + 1 for name, value in record["sums"].items()}
        path.write_text(json.dumps(record))

    train(epochs=3, checkpoints=shutil.copytree(folder, tmp_path / "good"), resume=True)
    every_file(change, "record/metadata")(folder)
    with pytest.raises(InputError, match="its arrays are not those that were written"):
        train(epochs=3, checkpoints=folder, resume=True)


def test_a_checkpoint_of_an_ensemble_of_another_size_is_refused(trained):
    with pytest.raises(InputError, match="expected a checkpoint of the same model and optimizer"):
        train(ensemble=True, checkpoints=trained, resume=True)
