"""`--profile` in the command: small files and two parts of the page, whatever the task."""

import json

import pytest

from jaxsci.cli.main import main
from jaxsci.runs import profile, training
from jaxsci.training.profile import _cost as cost

PROFILE = {
    "device": {"kind": "cpu", "count": 2},
    "seconds": {
        "compilation": 2.0,
        "input": 0.0,
        "steps": 6.0,
        "evaluation": 1.0,
        "trace": 0.5,
        "all": 10.0,
        "rest": 0.5,
    },
    "resumed": {"epochs": 3, "steps": 120},
    "steps": 3000,
    "batch_size": 128,
    "steps_of_members": 6000,
    "step": {"operations": 2.5e9, "bytes": 1e8, "loops": True, "products": "bfloat16", "unknown": None},
    "rate": 2.5e12,
    "product": {"side": 8192, "dtype": "bfloat16", "rate": 1e13},
    "utilization": 0.25,
    "memory": {"arguments": 12_000_000, "temporaries": 3_400},
    "trace": {
        "steps": 8,
        "seconds": {"products": 0.03, "exchange": 0.0, "other": 0.01},
        "longest": [{"name": "dot.3", "kind": "products", "seconds": 0.02, "calls": 16}],
    },
}


def test_the_command_writes_a_profile_and_says_it_on_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cost.SIDES, "cpu", 64)
    main(["train", "top-tagging", "--tagger", "mass", "--max-jets", "400", "--epochs", "2", "--profile", "--name", "p"])
    folder = tmp_path / "runs" / "top-tagging" / "p"
    found = json.loads((folder / "profile.json").read_text())
    assert found["checksum"]
    assert found["steps"] == 2 * 2
    assert found["product"]["side"] == 64
    assert (folder / "trace.json.gz").stat().st_size < 10**6
    page = (folder / "report.html").read_text()
    assert found["resumed"] is None
    assert page.index("Where the time went") < page.index("The longest operations") < page.index("How to repeat this")
    (folder / "profile.json").unlink()
    main(
        ["train", "top-tagging", "--resume", str(folder), "--profile"]
    )  # the training is over, and its report is made again
    assert not (folder / "profile.json").exists()
    assert "Where the time went" not in (folder / "report.html").read_text()


@pytest.mark.parametrize("text", ["{", "{}", json.dumps(PROFILE | {"checksum": "0"})])
def test_a_damaged_profile_is_left_out_of_the_page(tmp_path, text, caplog):
    (tmp_path / "profile.json").write_text(text)
    assert profile.sections(tmp_path) == []
    assert "profile.json is left out of the page" in caplog.text


def test_what_cannot_be_measured_costs_the_run_nothing_else(tmp_path):
    class Fails:
        def summary(self):
            raise ValueError("no memory")

    said = []
    training._measure(tmp_path, Fails(), lambda *words: said.append(words))
    assert said[-1] == ("measuring", 1.0, "warning: no profile.json, since the step could not be measured: no memory")
    assert not list(tmp_path.iterdir())


def test_what_the_page_says(tmp_path):
    (tmp_path / "profile.json").write_text(json.dumps(PROFILE))
    times, operations = profile.sections(tmp_path)
    assert times.text == (
        "3,000 steps of 128 examples (6,000 counting members), 2 ms per step of all members. A step has 2.5 GFLOP, as XLA counts"
        " the operations of forward pass, backward pass and update: 2.5 TFLOP/s, 25 % of the 10 TFLOP/s that a product of bfloat16"
        " matrices of side 8,192 reaches on 2 × cpu. Its program reads and writes at least 100 MB, caches not counted: at most 25"
        " operations for each byte, since it has loops, of which XLA counts one turn. A device needs 12 MB of memory for data"
        " and state, and 3.4 kB for what a step computes between."
    )
    assert times.table.caption.startswith(
        "Time of the training since it was resumed in epoch 4, after 120 of its steps, 10 s:"
    )
    assert times.table.rows[0] == ["compilation", 2.0, "20.0 %"]
    assert [row[0] for row in times.table.rows][-1].startswith("checkpoints")
    assert operations.text.startswith("From the trace of 8 steps in `trace.json.gz`, ")
    assert "products 75 %, other 25 %" in operations.text
    assert operations.table.rows == [["`dot.3`", "products", 16, pytest.approx(20.0), "50.0 %"]]


def test_what_xla_does_not_say_is_left_out_and_each_training_is_named(tmp_path):
    unknown = PROFILE | {
        "step": {"operations": None, "bytes": None, "loops": False, "products": "float32", "unknown": None},
        "resumed": None,
        "rate": None,
        "utilization": None,
        "memory": None,
        "trace": {"steps": 0, "seconds": {"products": 0, "exchange": 0, "other": 0}, "longest": []},
    }
    loop = unknown | {"step": unknown["step"] | {"unknown": "the step has a loop, of which XLA counts one turn"}}
    for name, found in (("fold-2", unknown), ("fold-10", loop)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "profile.json").write_text(json.dumps(found))
    first, second = profile.sections(tmp_path)
    assert (first.title, second.title) == ("Where the time went (fold-2)", "Where the time went (fold-10)")
    assert first.text.endswith("Its operations are not counted: XLA does not say how many they are.")
    assert second.text.endswith("Its operations are not counted: the step has a loop, of which XLA counts one turn.")
    assert first.table.caption.startswith("Time of the training, 10 s:")
    assert not profile.sections(tmp_path / "nothing")
