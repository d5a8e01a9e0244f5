"""Mistakes in the words after `jaxsci`: one line, with what was perhaps meant."""

import os
import re
import subprocess
import sys

import pytest

from jaxsci.cli import commands, mistakes
from jaxsci.cli.commands import parse
from jaxsci.errors import InputError
from jaxsci.tasks.table import Entry
from tests.command import refused

MISTAKES = {
    "compar": "got compar; did you mean compare?",
    "train": "jaxsci train: expected one of top-tagging, .*, got nothing; see jaxsci train --help",
    "train top-taging": "got top-taging; did you mean top-tagging?",
    "train top-tagging --epoch 3": "got --epoch; did you mean --epochs?",
    "train top-tagging --lr=1": "got --lr; did you mean --learning-rate?",
    "train top-tagging --epochs three": "--epochs: expected a whole number, got three; see jaxsci train top-tagging --help",
    "train top-tagging --learning-rate fast": "--learning-rate: expected a number, got fast;",
    "train top-tagging --epochs": "--epochs: expected a whole number, got nothing;",
    "train superconductors --split compositon": "got compositon; did you mean composition?",
    "train superconductors --no-mor": "got --no-mor; did you mean --more?",
    "train table --weight-column w --epochs three": "--epochs: expected a whole number, got three;",
    "train table --weight-column": "--weight-column: expected a word, got nothing;",
    "train top-tagging stray": "expected no further words, got stray;",
    "fit cmb --lmax x": "--lmax: expected a whole number, got x;",
    "evaluate": "jaxsci evaluate: expected RUN, got nothing;",
    "evaluate run --data": "--data: expected a path, got nothing;",
    "predict run": "jaxsci predict: expected RUN FILE, got run;",
    "predict --run x": r"jaxsci predict: expected RUN FILE, got --run; leave out --run,",
    "predict run --ouput x": "jaxsci predict: .* got --ouput; did you mean --out?",
    "predict run x.npz --jsn": "got --jsn; did you mean --json?",
    "predict superconductors MgB2 --run a --skipbad": "jaxsci predict superconductors: .* got --skipbad; did you mean --skip-bad?",
    "fit cmb --dta": "jaxsci fit cmb: .* got --dta; did you mean --data?",
    "fit earth --gird x": "got --gird; did you mean --grid?",
    "fit dimuon --windw 1 2": "got --windw; did you mean --window?",
    "train anomalies --detectr nae": "got --detectr; did you mean --detector?",
    "train images -epochs 3": "got -epochs; did you mean --epochs?",
    "sweep images --trails 3": "jaxsci sweep images: .* got --trails; did you mean --trials?",
    "sweep table --learning-rat 1e-4:1e-2": "got --learning-rat; did you mean --learning-rate?",
    "evaluate run --dat x": "jaxsci evaluate: .* got --dat; did you mean --data?",
    "evaluate run -data x": "got -data; did you mean --data?",
    "study run --max-exmples 3": "jaxsci study: .* got --max-exmples; did you mean --max-examples?",
    "export run --out x --fromat npz": "jaxsci export: .* got --fromat; did you mean --format?",
    "compare a b --jso": "jaxsci compare: .* got --jso; did you mean --json?",
    "runs --rnus x": "jaxsci runs: .* got --rnus; did you mean --runs?",
    "runs --debgu": "got --debgu; did you mean --debug?",
    "data generate jets -n 3": "jaxsci data generate: .* got -n; did you mean --n?",
    "data generate --sed 3 jets": "got --sed; did you mean --seed?",
    "data fetch sphere --foldr x": "jaxsci data fetch: .* got --foldr; did you mean --folder?",
    "data list --hlp": "jaxsci data list: .* got --hlp; did you mean --help?",
    "completion bash --hlp": "jaxsci completion: .* got --hlp; did you mean --help?",
    "--versio": "got --versio; did you mean --version?",
    "help": "got help; did you mean --help?",
    "predict superconductors MgB2": "jaxsci predict superconductors: expected FORMULAS --run, got MgB2;",
    "data fetchh": "got fetchh; did you mean fetch?",
    "data generate jet": "jaxsci data generate: .*jet",
    "bench spher": "got spher; did you mean sphere?",
    "train top-tagging --data -mine.npz": "--data: expected a value, got -mine.npz, .* write --data=-mine.npz, or see",
    "train top-tagging --data -epochs 3": "got -epochs; did you mean --epochs[?]",
    "predict run x.npz --out -a": "--out: expected a value, got -a, .* write --out=-a, or see jaxsci predict --help",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_with_what_was_perhaps_meant(words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=MISTAKES[words]) as caught:
        parse(words.split())
    assert str(caught.value).isprintable()
    assert not set("│╭╮╰╯─") & set(str(caught.value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words", ["train images --epoch 3", "fit cmb --epoch 3", "sweep images --epoch 3", "runs --cvs"]
)
def test_a_mistake_ends_the_command_with_2(words, capsys):
    assert "did you mean --" in refused(capsys, *words.split())


def test_a_resumed_training_takes_no_other_options(capsys):
    line = refused(capsys, "train", "images", "--resume", "run", "--epochs", "50")
    assert "--resume run: expected no options of the training, got --epochs" in line


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--seed", str(2**32)], ["--learning-rate", "inf"]])
def test_numbers_that_mean_nothing_are_refused(options, capsys):
    assert options[0] in refused(capsys, "train", "images", "--data", "none.npz", *options)


def test_a_reader_that_ends_early_ends_the_command_in_silence():
    reader, writer = os.pipe()
    os.close(reader)
    for buffering in (
        {},
        {"PYTHONUNBUFFERED": "1"},
    ):  # the pipe is seen to be closed at the end, or with the first line
        command = [sys.executable, "-m", "jaxsci", "data", "list"]
        done = subprocess.run(
            command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=os.environ | buffering
        )
        assert done.stderr == ""
        assert done.returncode != 0
    os.close(writer)


COMMANDS = [
    *((verb, entry.name) for verb in ("train", "fit", "sweep", "predict") for entry in commands._entries(verb)),
    *((name,) for name in ("evaluate", "predict", "study", "export", "compare", "runs")),
    *(("data", name) for name in ("fetch", "generate")),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_is_a_command(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        parse([*words, "--help"])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "[[" not in text  # what is not named by an option has a word that says what it is
    positional = text.partition("positional arguments")[2].partition("options")[0]
    assert not re.search(r"│ (STR|PATH)\b", positional)
    example = re.search(r"Example: jaxsci ((?:.|\n)*?)\n *(?:\n|╭)", text)[1].replace("\\\n", "").split()
    assert tuple(example[: len(words)]) == words
    parse(example)  # is understood


@pytest.mark.parametrize("words", ["", "train", "fit", "sweep", "data", "data list", "bench", "completion"])
def test_no_line_of_help_is_wider_than_the_terminal(words, capsys, monkeypatch):
    """Those of `COMMANDS` likewise, above; nothing is lost."""
    heads = {}
    for width in (80, 1000):
        monkeypatch.setenv("COLUMNS", str(width))
        with pytest.raises(SystemExit, match="0"):
            parse([*words.split(), "--help"])
        page = capsys.readouterr().out
        assert max(map(len, page.splitlines())) <= width
        heads[width] = "".join(page.partition("╭")[0].split())
    assert heads[80] == heads[1000]


def test_a_long_choice_is_broken_at_its_commas():
    bold = "\x1b[1musage\x1b[0m"
    lines = [f"{bold}: jaxsci {{one,", "    two,three,four}"]
    assert mistakes.wrapped(f"{bold}: jaxsci {{one,two,three,four}}", 20).splitlines() == lines
    assert mistakes.wrapped("of 30,000 jets, by name", 12) == "of 30,000\njets, by\nname"
    assert mistakes.wrapped("Example: jaxsci compare a b", 20) == "Example: jaxsci \\\n    compare a b"


def test_a_task_without_an_example_has_help(capsys, monkeypatch):
    foreign = Entry("fit", "half-life", "jaxsci.tasks.earth", "The half-life of a sample.")
    monkeypatch.setattr(commands, "TABLE", [*commands.TABLE, foreign])
    with pytest.raises(SystemExit, match="0"):
        parse(["fit", "half-life", "--help"])
    assert "Example" not in capsys.readouterr().out
