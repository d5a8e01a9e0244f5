"""Options of every benchmark: a misspelt one ends in one line, and the help is no wider than the terminal."""

import importlib

import pytest

from benchmarks.arguments import Parser
from jaxsci.cli import benchmarks
from jaxsci.errors import InputError

POSITIONAL = {"fresh-jets": ["jets.h5", "logits"]}


@pytest.mark.parametrize("entry", benchmarks.TABLE, ids=lambda entry: entry.name)
def test_options_of_a_benchmark_are_those_of_a_command(entry, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    main = importlib.import_module(entry.module).main
    with pytest.raises(SystemExit, match="2"):
        main([*POSITIONAL.get(entry.name, []), "--ouput", "x"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected one of its options, got --ouput; did you mean --out? see python -m benchmarks." in line
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert "--out" in page
    assert not list(tmp_path.iterdir())


def test_other_mistakes_are_one_line_too(capsys):
    parser = Parser("speed", "How fast.")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--only", choices=("a", "b"))
    for words, message in {
        "--steps two": "error: python -m benchmarks.speed: --steps: invalid int value: 'two'; see python -m",
        "--only c": "--only: invalid choice: 'c'",
        "--step=3": "got --step; did you mean --steps?",
        "stray": "expected one of its options, got stray; see",
    }.items():
        with pytest.raises(SystemExit, match="2"):
            parser.parse_args(words.split())
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert parser.parse_args(["--steps", "2"]).steps == 2


@pytest.mark.parametrize("words", [["bench", "speed", "--step=3"], ["--debug", "bench", "speed", "--step=3"]])
def test_a_mistake_names_the_command_that_was_typed(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["jaxsci", *words])
    parser = Parser("speed", "How fast.")
    parser.add_argument("--steps", type=int)
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--step=3"])
    line = capsys.readouterr().err
    assert line.startswith("error: jaxsci bench speed: ")
    assert line.endswith("see jaxsci bench speed --help\n")


def test_a_misspelt_benchmark_is_told_the_right_one():
    with pytest.raises(InputError, match=r"got spher; did you mean sphere\?"):
        benchmarks.run("spher", [])
