"""config.json and evaluation.json of runs edited by hand, cut off or of another version: the command answers as before, or in one line."""

import copy
import json
import shutil

import numpy as np
import pytest

import jaxsci
from jaxsci.cli.main import main
from jaxsci.errors import InputError
from jaxsci.runs import folder as runs
from jaxsci.runs import schema
from jaxsci.runs.task import silent
from tests.runs.small_runs import EXAMPLES, TRAIN, write_examples

BAD = (None, -1, 0, 1e300, 10**30, "x", "", [], {}, [{}], True, 0.5, float("nan"), float("inf"))
WHOLE = {
    "nothing": "",
    "cut off": '{"task": "ta',
    "a list": "[]",
    "a number": "3",
    "text": '"run"',
    "null": "null",
    "an object": "{}",
    "bytes": "\x00\x01",
    "deep": "[" * 100_000,
    "two": "{}{}",
}


def edits(content, rng, number):
    """So many copies of what a JSON file holds, each with a key that is gone, new, or has another value; where, and the copy."""
    # Where files lie may change: such options are compared with nothing.
    places = [place for place in _places(content) if not {*place[1:2]} & {*schema._PLACES.get(place[0], ())}]
    for at in rng.permutation(len(places))[:number]:
        *path, last = places[at]
        edited = copy.deepcopy(content)
        parent = edited
        for key in path:
            parent = parent[key]
        what = int(rng.integers(len(BAD) + 2))
        if what == len(BAD):
            del parent[last]
        elif what == len(BAD) + 1 and isinstance(parent, dict):
            parent[f"{last}_of_another_version"] = parent.pop(last)
        else:
            parent[last] = BAD[what % len(BAD)]
        if repr(edited) != repr(content):  # null may have been null before
            yield f"{places[at]} {what}", edited


def _places(content, path=()):
    children = content.items() if isinstance(content, dict) else enumerate(content[:2])
    for key, value in children:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


def answer(capsys, *arguments):
    """What the command prints; None where it ends with exit code 2 and one line."""
    capsys.readouterr()
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, said = capsys.readouterr()
    if code == 0:
        return out
    assert code == 2
    (line,) = (line for line in said.splitlines() if line.startswith("error: "))
    assert "Traceback" not in said
    assert len(line) < 1000
    return None


FITS = {
    "dimuon": ["--data", "pairs.npz"],
    "cmb": ["--data", "sky.npz", "--lmax", "8"],
    "earth": ["--data", "relief.txt"],
}


def write_fitted(folder):
    """The files that FITS names."""
    rng = np.random.default_rng(0)
    masses = np.concatenate([91.2 + 1.25 * rng.standard_cauchy(600), rng.uniform(60, 120, 200)])
    np.savez(folder / "pairs.npz", mass=masses[(masses > 60) & (masses < 120)])
    np.savez(folder / "sky.npz", map=rng.normal(size=192) * 70, unit="uK")
    rows = [(n, m, *rng.normal(size=2)) for n in range(5) for m in range(n + 1)]
    (folder / "relief.txt").write_text("".join(f"{n} {m} {c} {s if m else 0}\n" for n, m, c, s in rows))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains a small run of a task, once, and gives its folder and a file of examples."""
    folder, kept = tmp_path_factory.mktemp("edited"), {}
    write_examples(folder)

    def train(task):
        if task not in kept:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setenv("JAXSCI_DATA", str(folder / "data"))
                main(["train", task, *TRAIN[task], "--name", "run", "--runs", str(folder / "runs")])
            kept[task] = folder / "runs" / task / "run"
        return kept[task], folder / EXAMPLES.get(task, "jets.npz")

    return train


def commands(task, run, examples):
    """What reads a run."""
    return {
        "runs": ("runs", "--runs", run.parents[1]),
        "compare": ("compare", run),
        "predict": ("predict", run, examples, "--out", "scores.csv"),
        "evaluate": ("evaluate", run),
        "resume": ("train", task, "--resume", run),
    }


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("file", ["config.json", "evaluation.json"])
@pytest.mark.parametrize("task", ["table", *(pytest.param(t, marks=pytest.mark.slow) for t in TRAIN if t != "table")])
def test_an_edited_file_is_refused_in_one_line(task, file, trained, tmp_path, capsys):
    run, examples = trained(task)
    copied = tmp_path / "runs" / task / "run"
    shutil.copytree(run, copied)
    content = json.loads((run / file).read_text())
    rng = np.random.default_rng(0)
    asked = commands(task, copied, examples)
    if file == "evaluation.json":  # which others write anew
        asked = {name: asked[name] for name in ("runs", "compare")}
    texts = WHOLE | {where: json.dumps(edited) for where, edited in edits(content, rng, 12)}
    for where, text in texts.items():
        (copied / file).write_text(text)
        for name, arguments in asked.items():
            found = answer(capsys, *arguments)
            if "checksum" in where and found is not None:  # without one it is a file of an earlier version
                continue
            if name == "runs":  # lists the others too
                assert found is not None
                assert file == "config.json" or "damaged" in found, where
            else:
                assert found is None, (where, name)


@pytest.mark.slow
@pytest.mark.parametrize("task", FITS)
def test_an_edited_file_of_a_fit_is_refused_in_one_line_and_named_in_the_list(task, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_fitted(tmp_path)
    main(["fit", task, *FITS[task], "--name", "run"])
    run = tmp_path / "runs" / task / "run"
    for file in ("config.json", "evaluation.json"):
        whole = (run / file).read_text()
        texts = WHOLE | {w: json.dumps(e) for w, e in edits(json.loads(whole), np.random.default_rng(0), 30)}
        for where, text in texts.items():
            (run / file).write_text(text)
            for words in (["compare", run], ["predict", run, "x.npz"], ["evaluate", run], ["study", run]):
                assert answer(capsys, *words) is None, (where, words)
            with pytest.raises(InputError):
                jaxsci.load(run)
            for form in ([], ["--json"], ["--csv"]):
                listed = answer(capsys, "runs", *form)
                assert "checksum" in where or file in listed, where  # what is damaged
        (run / file).write_text(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("columns"),
        lambda data: data.update(columns=3),
        lambda data: data["columns"][0].update(categories=1),
        lambda data: data["columns"][1].update(missing=0.5),
        lambda data: data.pop("classes"),
    ],
)
def test_what_a_run_without_a_checksum_lacks_is_said_in_one_line(change, trained, tmp_path):
    run, _ = trained("table")
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    content = json.loads((run / "config.json").read_text())
    del content["checksum"]
    (copied / "config.json").write_text(json.dumps(content))
    assert jaxsci.load(copied).config["task"] == "table"  # of an earlier version
    change(content["data"])
    (copied / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"expected a run that this version can use, but \w+Error: .*see where with --debug"
    ):
        jaxsci.load(copied)


def test_errors_of_a_run_as_it_was_written_and_of_a_training_are_left_as_they_are(trained, tmp_path):
    run, _ = trained("table")
    with pytest.raises(KeyError), runs.of_any_version(run):
        raise KeyError("x")
    with pytest.raises(AttributeError), runs.of_any_version(tmp_path):
        runs.train(tmp_path, None, (None, None), resume=False, progress=silent)
