"""config.json edited by hand or damaged: one line that names the key."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from jaxsci.errors import InputError
from jaxsci.files import write_json
from jaxsci.runs import folder as runs
from jaxsci.runs import schema
from jaxsci.runs.training import _note_interruption
from jaxsci.tasks.images import Options

GOOD = json.loads(json.dumps(asdict(Options(data=Path("x.npz"))), default=str))

EDITS = {
    "seed": [None, "x", 1.5, [], True, {}],
    "epochs": ["ten", None, 2.5],
    "learning_rate": ["fast", None, [1e-3]],
    "patience": ["x", 1.5],
    "data": [3, ["x"]],
    "batch_size": [False, "32"],
    "models": ["cnn"],  # no such option
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in EDITS.items() for value in values])
def test_an_option_of_another_type_is_one_line_with_its_name(tmp_path, key, value):
    config = {"task": "images", "options": GOOD | {key: value}, "data": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"config\.json: expected options.*{key}"):
        runs.read_options(tmp_path, "images", Options, ("data", "labels"))


@pytest.mark.parametrize("key", ["options", "task", "data"])
@pytest.mark.parametrize("value", [None, 3, [], "x"])
def test_parts_of_another_type_are_one_line(tmp_path, key, value):
    config = {"task": "images", "options": GOOD, "data": {}} | {key: value}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="expected"):
        runs.read_options(tmp_path, "images", Options, ("data", "labels"))


def test_what_was_written_is_read_and_what_is_absent_has_its_default(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"task": "images", "options": GOOD, "data": {}}))
    assert runs.read_options(tmp_path, "images", Options, ("data", "labels")) == Options(data=Path("x.npz"))
    (tmp_path / "config.json").write_text(json.dumps({"task": "images", "options": {"learning_rate": 1}, "data": {}}))
    assert runs.read_options(tmp_path, "images", Options, ("data", "labels")) == Options(learning_rate=1)


def test_where_files_lie_may_change_and_numbers_of_the_same_name_may_not(tmp_path):
    path = tmp_path / "config.json"
    runs.write_record(path, {"options": {"validation": "a.h5", "seed": 1}, "data": {"file": "a.h5", "validation": 5}})
    written = path.read_text()
    path.write_text(written.replace("a.h5", "b.h5"))
    assert runs.read_json(path, "")["data"] == {"file": "b.h5", "validation": 5}
    path.write_text(written.replace('"validation": 5', '"validation": 6'))
    with pytest.raises(InputError, match="a file that was edited"):
        runs.read_json(path, "")


@pytest.mark.parametrize("constant", ["NaN", "-Infinity"])
def test_what_is_no_number_of_json_is_refused(tmp_path, constant):
    (tmp_path / "config.json").write_text(f'{{"task": "images", "options": {{}}, "training": {{"rate": {constant}}}}}')
    with pytest.raises(
        InputError, match=f"a readable JSON file, but {constant} is no number of JSON; copy the run again"
    ):
        runs.read_config(tmp_path)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_resumed_run_has_a_checksum_only_where_it_had_one(tmp_path, sealed):
    path = tmp_path / "config.json"
    (runs.write_record if sealed else write_json)(path, {"task": "images"})
    _note_interruption(tmp_path, 3)
    assert schema.is_sealed(path) == sealed
    assert runs.read_json(path, "")["resumed"][0]["epochs"] == 3


@pytest.mark.parametrize("value", [None, "x", -1, 0, [], [8, "x"], [8, 0], 1.5, True])
def test_sizes_are_whole_numbers(value):
    with pytest.raises(InputError, match=r"config\.json: expected data\.shape to be of whole numbers from 1"):
        schema.require_whole(Path("config.json"), {"shape": value}, "shape")
    schema.require_whole(Path("config.json"), {"shape": [8, 8, 1], "classes": 2}, "shape", "classes")
