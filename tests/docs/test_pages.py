"""What the pages show works as shown: their code runs, their commands are understood, what they link to exists."""

import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from jaxsci.cli.commands import parse
from jaxsci.cli.main import main
from jaxsci.data import jets

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for folder in ("how-to", "explanation") for path in (DOCS / folder).glob("*.md"))
TEXTS = [path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", DOCS / "index.md", *PAGES) if path.exists()]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path, language):
    return [code for found, code in BLOCK.findall(path.read_text(encoding="utf-8")) if found == language]


def commands():
    """Every line `jaxsci ...` of a block, without the words in brackets or capitals that stand for the reader's own."""
    lines = {
        line for path in TEXTS for code in (*blocks(path, ""), *blocks(path, "bash")) for line in code.splitlines()
    }
    found = {piece.strip() for line in lines for piece in line.split("&&")}
    return sorted(line for line in found if line.startswith("jaxsci "))


def installed(block):
    """Whether a block does without packages of an extra that is not for the tests, or they are there."""
    return "import dp_accounting" not in block or importlib.util.find_spec("dp_accounting") is not None


SHOWN_AS_FILES = ("add-task", "own-tagger", "add-benchmark")  # tests/test_extension.py puts them in their places
WITH_CODE = [path for path in PAGES if blocks(path, "python") and path.stem not in SHOWN_AS_FILES]


LONG = ("curvature", "per-example-gradients")
MARKED = [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in LONG), id=name(path)) for path in WITH_CODE]


@pytest.mark.parametrize("path", MARKED)
def test_the_code_of_a_page_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    if path.stem == "runs":  # begins with a run and jets of the reader's own
        main(["train", "top-tagging", "--tagger", "mass", "--max-jets", "400", "--epochs", "1", "--name", "cnn-1"])
        names["constituents"] = jets.read(jets.embedded(), limit=10).constituents
    code = [block for block in blocks(path, "python") if installed(block)]
    exec(compile("\n".join(code), name(path), "exec"), names)
    if path.stem == "runs":
        assert names["answers"]["probability"].shape == (10,)


@pytest.mark.parametrize("command", commands())
def test_every_command_shown_is_understood(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command, comments=True)[1:]
    if "--config" in arguments:  # a file that an earlier command has written
        config = Path(arguments[arguments.index("--config") + 1])
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("epochs = 5\n", encoding="utf-8")
    if arguments[0] == "bench" or "half-life" in arguments:  # has a parser of its own; is added by a page
        return
    try:
        parse(arguments)
    except SystemExit as error:
        pytest.fail(f"{command}: {error} {capsys.readouterr().err}")


def test_every_extra_that_is_mentioned_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    mentioned = {
        extra.strip()
        for path in TEXTS
        for group in re.findall(r"pip install -e '\.\[([^]]+)\]'", path.read_text(encoding="utf-8"))
        for extra in group.split(",")
    }
    assert mentioned
    assert mentioned <= set(extras)


def test_every_file_that_is_linked_exists():
    missing = []
    for path in TEXTS:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if re.match(r"https?:|mailto:", target):
                continue
            collected = (path.parent / target).resolve().relative_to(ROOT).as_posix()
            # Collected when the pages are built: see docs/extensions/collected.py.
            for copied, source in (
                ("docs/tutorials/notebooks/", "notebooks/"),
                ("docs/benchmarks/results/", "benchmarks/results/"),
                ("docs/benchmarks/reading.md", "benchmarks/README.md"),
            ):
                collected = collected.replace(copied, source) if collected.startswith(copied) else collected
            if not (ROOT / collected).exists():
                missing.append(f"{name(path)}: {target}")
    assert not missing


def test_the_diagrams_are_those_that_the_script_draws(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS / "images"))
    import draw

    draw.main(tmp_path)
    assert {path.name for path in tmp_path.glob("*.svg")} == {path.name for path in (DOCS / "images").glob("*.svg")}
    used = "".join(path.read_text(encoding="utf-8") for path in TEXTS)
    for path in (DOCS / "images").glob("*.[sp][vn]g"):
        assert f"images/{path.name}" in used, path.name
    sys.modules.pop("draw")
