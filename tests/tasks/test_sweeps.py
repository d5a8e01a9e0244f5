"""Sweeps: how trials are drawn, that halving trains what it keeps as an ordinary run, going on after a kill, and what is refused."""

import contextlib
import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxsci.cli import sweep
from jaxsci.cli.arguments import SweepPlace
from jaxsci.cli.main import main
from jaxsci.core import Batch
from jaxsci.errors import StopTraining
from jaxsci.runs.task import Session, Sweep, Trial, silent
from jaxsci.tasks import ensembles, own_network
from jaxsci.tasks.images.options import Options as OfImages
from jaxsci.tasks.sweeps import run as sweeps
from jaxsci.tasks.sweeps import space
from jaxsci.tasks.sweeps.space import Choices, Range
from jaxsci.tasks.top_tagging.options import Options
from tests.command import refused

QUICK = ["--tagger", "mass", "--max-jets", "300", "--batch-size", "64", "--epochs", "4"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


RATES = ["--learning-rate", "1e-3:1", "--weight-decay", "0,1e-2", "--trials", "8"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of eight logistic regressions that was stopped within its second rung and went on; tests only read it."""

    def stops(stage, fraction, words):
        if stage == "rung 2 of 3" and 0 < fraction < 1:
            raise StopTraining("asked")

    root = tmp_path_factory.mktemp("swept") / "runs"
    folder = root / "sweeps" / "top-tagging-1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxsci.cli.main.shown_progress", lambda: contextlib.nullcontext(stops))
        with pytest.raises(SystemExit) as stop:
            main(["sweep", "top-tagging", *QUICK, *RATES, "--runs", str(root)])
    assert stop.value.code == 75
    assert len(record(folder)["rungs"]) == 1
    assert not (folder / "best.toml").exists()
    main(["sweep", "top-tagging", "--resume", str(folder)])
    return folder


def record(folder):
    return json.loads((folder / "sweep.json").read_text())


def test_ranges_are_drawn_evenly_in_the_logarithm():
    drawn = space.draw({"a": Range(1e-4, 1e-2, False), "b": Choices((1, 2)), "c": Range(8, 64, True)}, 200, seed=3)
    place = (np.log10([values["a"] for values in drawn]) + 4) / 2
    assert np.histogram(place, 200, (0, 1))[0].max() <= 2  # one a part, up to the rounding of what is written
    assert np.histogram(place, 10, (0, 1))[0].tolist() == pytest.approx([20] * 10, abs=1)
    assert sum(values["b"] == 1 for values in drawn) == 100
    whole = [values["c"] for values in drawn]
    assert all(type(value) is int and 8 <= value <= 64 for value in whole)
    assert abs(np.corrcoef(place, np.log(whole))[0, 1]) < 0.2
    assert drawn == space.draw({"a": Range(1e-4, 1e-2, False), "b": Choices((1, 2)), "c": Range(8, 64, True)}, 200, 3)


def test_lists_alone_are_combined():
    lists = {"a": Choices((1, 2, 3)), "b": Choices(("x", "y"))}
    every = [{"a": a, "b": b} for a in (1, 2, 3) for b in "xy"]
    assert space.draw(lists, 16, seed=0) == every
    some = space.draw(lists, 4, seed=0)
    assert len(some) == 4
    assert all(values in every for values in some)
    assert len({tuple(values.values()) for values in some}) == 4


def test_what_of_the_words_is_swept():
    words = ["--learning-rate=1e-3:1", "--model", "net.py:build", "--data", "a,b.h5", "--batch-size", "32"]
    found, rest = space.separated([*words, "--tagger", "cnn,pfn", "--augment"], Options)
    assert found == {"learning_rate": "1e-3:1", "tagger": "cnn,pfn"}
    assert rest == [*words[1:], "--augment"]
    assert space.dimensions(found, Options) == {
        "learning_rate": Range(1e-3, 1, False),
        "tagger": Choices(("cnn", "pfn")),
    }
    assert space.separated(["--model", "a.py:f,b.py:g"], OfImages)[0] == {"model": "a.py:f,b.py:g"}


def test_rungs():
    assert sweeps.fractions(16, 8, halving=True) == [1 / 8, 1 / 4, 1 / 2, 1]
    assert sweeps.fractions(4, 100, halving=True) == [1 / 4, 1 / 2, 1]
    assert sweeps.fractions(16, 1, halving=True) == [1]
    assert sweeps.fractions(16, 8, halving=False) == [1]


def test_the_better_half_goes_on(swept):
    trials = record(swept)["trials"]
    epochs = {t["trial"]: t["epochs"] for t in trials}
    assert sorted(epochs.values()) == [1] * 4 + [2] * 2 + [4] * 2
    early = [t for t in trials if t["epochs"] == 1]
    assert all(t["state"] == "stopped" for t in early)
    assert record(swept)["programs"] == 1
    best = sweeps.best(record(swept))
    assert best["validation_loss"] == min(t["validation_loss"] for t in trials if t["state"] == "finished")


@pytest.mark.slow
def test_the_best_trial_is_an_ordinary_run(swept, tmp_path):
    best = sweeps.best(record(swept))
    config = str(swept / "best.toml")
    main(["train", "top-tagging", "--config", config, "--runs", str(tmp_path / "runs")])
    folder = tmp_path / "runs" / "top-tagging" / "mass-1"
    losses = [json.loads(line)["validation_loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert min(losses) == pytest.approx(best["validation_loss"], rel=1e-5)  # float32, in another program
    options = json.loads((folder / "config.json").read_text())["options"]
    assert {name: options[name] for name in best["values"]} == best["values"]


@pytest.mark.slow
def test_stopped_or_not_halved_or_not_the_trials_are_the_same(swept):
    trials = record(swept)["trials"]
    main(["sweep", "top-tagging", *QUICK, *RATES])
    assert record(Path("runs/sweeps/top-tagging-1"))["trials"] == trials  # bit for bit
    main(["sweep", "top-tagging", *QUICK, *RATES, "--no-halving"])
    whole = record(Path("runs/sweeps/top-tagging-2"))["trials"]
    assert [t["values"] for t in whole] == [t["values"] for t in trials]
    assert {t["state"] for t in whole} == {"finished"}
    for t, other in zip(trials, whole, strict=True):
        if t["state"] == "finished":
            assert t["validation_loss"] == other["validation_loss"]  # the same program: bit for bit


def test_the_table_the_page_and_what_is_printed(swept, capsys):
    page = (swept / "report.html").read_text()
    assert "evenly in the logarithm between 0.001 and 1" in page
    assert "jaxsci sweep top-tagging <span>--tagger</span> mass" in page
    assert str(swept.parents[2]) not in page
    assert (swept / "figures" / "sweep.png").exists()
    capsys.readouterr()
    sweep.show(swept, SweepPlace(json=True))
    found = json.loads(capsys.readouterr().out)
    assert found["best"] == found["trials"][0]["trial"]
    sweep.show(swept, SweepPlace(csv=True))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(row["trial"]) for row in rows] == [t["trial"] for t in found["trials"]]
    sweep.show(swept, SweepPlace())
    assert "as an ordinary run: jaxsci train top-tagging --config" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_bit_for_bit(swept, tmp_path):
    code = "from jaxsci.cli.main import main; import sys; main(sys.argv[1:])"
    words = [sys.executable, "-c", code, "sweep", "top-tagging", *QUICK, *RATES]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "runs" / "sweeps" / "top-tagging-1"
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if (folder / "sweep.json").exists() and record(folder)["rungs"]:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert record(folder)["rungs"]
    for checkpoints in (folder / "checkpoints").iterdir():
        shutil.rmtree(max(checkpoints.glob("[0-9]*"), key=lambda path: int(path.name)), ignore_errors=True)
    main(["sweep", "top-tagging", "--resume", str(folder)])
    assert record(folder)["trials"] == record(swept)["trials"]
    assert (folder / "best.toml").read_text() == (swept / "best.toml").read_text()


REFUSED = {
    ("--learning-rate", "1e-4:1e-2", "--trials", "0"): "--trials: expected at least 2, of which one is chosen, got 0",
    ("--learning-rate", "1e-2:1e-4"): "LOW below HIGH, got 1e-2:1e-4; write 1e-4:1e-2",
    ("--learning-rate", "0:1"): "expected a range above 0",
    ("--learning-rate", "a:b"): "--learning-rate: expected numbers, as in 1e-4:1e-2 or 1e-4,1e-3, got a:b",
    ("--learning-rate", "1e-4:1e-3:1e-2"): "expected LOW:HIGH, got 1e-4:1e-3:1e-2",
    ("--learning-rate", "0,1"): "--learning-rate: expected positive numbers, got 0",
    ("--batch-size", "1.5:3"): "--batch-size: expected whole numbers, as in 32:256",
    ("--tagger", "cnn,cnm", "--max-jets", "100"): "--tagger: expected one of cnn",
    ("--precision", "float32:bfloat16"): "--precision: expected a list such as float32,bfloat16",
    ("--precision", "float32,float16"): "--precision: expected a list of float32, bfloat16, got float16",
    ("--epochs", "1:10"): "--epochs: expected one value, got 1:10; a sweep varies --learning-rate",
    ("--lr", "1e-4:1e-2"): "expected one of its options, got --lr; did you mean --learning-rate?",
    (): "sweep: expected a range or a list for one of --learning-rate",
    ("--learning-rate", "1e-4:1e-2", "--stream"): "--stream: expected jets that fit into memory for a sweep",
    ("--learning-rate", "1e-4:1e-2", "--json", "--csv"): "--json: expected it or --csv, got both",
    ("--learning-rate", "1e-4:1e-2", "--members", "0"): "--members: expected a number of networks of at least 1, got 0",
    ("--learning-rate", "1e-4:1e-2", "--input", "features"): "--input: expected none for cnn, got features",
    ("--learning-rate", "1e-4:1e-2", "--model-options", "a=1"): "--model-options: expected none for cnn, got a=1",
    ("--tagger", "pfn,efn", "--model", "my.py"): "--tagger: expected none beside --model, got pfn",
    (
        "--learning-rate",
        "1e-4:1e-2",
        "--model",
        "my.py",
        "--precision",
        "bfloat16",
    ): "--precision: expected none beside",
    ("--resume", "nothing"): "give the folder of a sweep",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_sweeps_that_cannot_be(words, tmp_path, capsys):
    assert REFUSED[words] in refused(capsys, "sweep", "top-tagging", *words)
    assert not (tmp_path / "runs").exists()


def test_a_sweep_that_goes_on_takes_no_options(swept, capsys):
    line = refused(capsys, "sweep", "top-tagging", "--resume", swept, "--learning-rate", "1e-4:1e-2")
    assert "expected no options of the sweep" in line
    assert "expected no options of the training, got --seed" in refused(
        capsys, "sweep", "top-tagging", "--resume", swept, "--seed", "2"
    )
    assert "got one of top-tagging" in refused(capsys, "sweep", "images", "--resume", swept)


@pytest.mark.slow
def test_batch_sizes_and_networks_are_programs_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    np.savez("mine.npz", x=(rng.random((200, 8, 8)) + 0.3 * y[:, None, None]).astype(np.float32), y=y)
    words = ["sweep", "images", "--data", "mine.npz", "--epochs", "2"]
    main([*words, "--model", "dense", "--batch-size", "32,64", "--learning-rate", "1e-3,1e2", "--no-halving"])
    found = record(tmp_path / "runs" / "sweeps" / "images-1")
    assert found["programs"] == 2
    assert len(found["trials"]) == 4
    assert sweeps.best(found)["values"]["learning_rate"] == 1e-3


def test_trials_of_different_losses_are_not_compared(tmp_path, capsys):
    np.savez("mine.npz", x=np.random.default_rng(0).random((60, 8, 8), np.float32), y=np.arange(60) % 2)
    line = refused(capsys, "sweep", "images", "--data", "mine.npz", "--model", "dense,autoencoder")
    assert "expected trials of one loss, by which they are compared, got cross entropy and mean squared error" in line
    assert not (tmp_path / "runs").exists()


def test_the_network_of_another_is_not_run_by_going_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(own_network, "_agreed", set())
    monkeypatch.setattr(own_network, "_noted", list)
    Path("evil.py").write_text("raise SystemExit('it ran')")
    words = ["--model", "evil.py", "--learning-rate", "1e-3:1", "--trials", "2"]
    trials = [{"trial": 1, "values": {"learning_rate": 0.1}}, {"trial": 2, "values": {"learning_rate": 0.2}}]
    Path("theirs").mkdir()
    content = {"task": "top-tagging", "words": words, "digest": "", "rungs": [], "trials": trials}
    Path("theirs/sweep.json").write_text(json.dumps(content))
    line = refused(capsys, "sweep", "top-tagging", "--resume", "theirs")
    assert (
        "evil.py: expected the network that the training began with, got one that was never trained with here" in line
    )


def test_a_sweep_of_an_earlier_version_goes_on_from_its_own_random_key(tmp_path, monkeypatch):
    own = ensembles.first_key(5, members=2)
    batch = Batch(np.zeros(2, np.float32), np.zeros(2, np.float32), np.ones(2, np.float32))
    fake = Sweep(
        lambda options, progress: (None, (batch, batch)),
        lambda options, prepared: Trial(None, None, "loss", own),
        lambda options: None,
    )
    asked = sweeps.Request("images", fake, OfImages(seed=5), {"learning_rate": Choices((1e-3, 1e-2))}, 2, False, [])
    keys = []
    monkeypatch.setattr(sweeps, "_run", lambda *given: keys.append(given[3][0].trial.key))
    folder = sweeps.start(asked, Session(tmp_path, find=None))
    sweeps.resume(asked, folder, silent)
    earlier = {name: value for name, value in record(folder).items() if name not in ("key", "checksum")}
    (folder / "sweep.json").write_text(json.dumps(earlier))
    sweeps.resume(asked, folder, silent)
    assert [key == own for key in keys] == [True, True, False]
    assert keys[2] == jax.random.key(5)


@pytest.mark.slow
def test_tables_are_swept_by_one_network_a_trial(tmp_path):
    x = np.random.default_rng(0).normal(size=300)
    np.savez("t.npz", x=x, y=x * x)
    words = ["--target", "y", "--data", "t.npz", "--epochs", "4", "--patience", "4", "--batch-size", "64"]
    main(["sweep", "table", *words, "--learning-rate", "1e-5,1e-2", "--no-halving"])
    found = record(tmp_path / "runs" / "sweeps" / "table-1")
    assert found["loss"] == "squared error of the standardized target"
    assert sweeps.best(found)["values"] == {"learning_rate": 1e-2}
    # What a trial trains is the first member of the ensemble that an ordinary run trains.
    main(["train", "table", *words, "--learning-rate", "1e-2", "--members", "5"])
    history = [json.loads(line) for line in Path("runs/table/y-1/metrics.jsonl").read_text().splitlines()]
    first = min(epoch["validation_loss"][0] for epoch in history)
    assert first == pytest.approx(sweeps.best(found)["validation_loss"], rel=1e-5)
