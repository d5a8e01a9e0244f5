"""Every command and option that a message, a help text or a page of documentation names exists."""

import ast
import dataclasses
import re
from functools import cache
from pathlib import Path

import pytest

from jaxsci.cli import commands, mistakes

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "jaxsci").rglob("*.py"))
# But for those on what a reader adds to the command.
PAGES = sorted(
    [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if not page.stem.startswith("add-"))]
)
FIRST = [*commands.VERBS, "evaluate", "predict", "study", "export", "compare", "runs", "data", "completion", "bench"]
COMMAND = re.compile(rf"(?<![\w/.])jaxsci((?: (?:{'|'.join(FIRST)}))(?: [\w./{{}}:=-]+)*)")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w-])")
STYLE = re.compile(r"var\(--|:root|style=")  # a style sheet, whose variables are written alike
FILLED = "PLACEHOLDER"  # for what a message fills in
# Understood before the parser, the parser's own, and of `python -m benchmarks.convolution`.
OF_OTHERS = {"debug", "help", "version", "tyro-print-completion", "calibrate"}


def _texts(path):
    """The strings of a module; what is filled in as a placeholder."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else FILLED for part in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def _options(words):
    """The options of the command that these words begin with, or None where the words name none."""
    return _options_of(*[word for word in (*words, "", "") if not word.startswith("-")][:2])


@cache
def _options_of(*words):
    if words[0] == "predict" and any(entry.name == words[1] for entry in commands._entries("predict")):
        words = [f"predict-{words[1]}", *words[1:]]
    kind = commands._tree(words).get(words[0])
    if isinstance(kind, dict) and (FILLED in words[1] or words[1].isupper() or not words[1]):
        return None  # of any task
    if isinstance(kind, dict):
        assert words[1] in kind, f"jaxsci {words[0]} {words[1]}"
        kind = kind[words[1]]
    return {**mistakes.options_of(kind), **mistakes._aliases(kind)} if dataclasses.is_dataclass(kind) else None


def _every_option():
    found = set(OF_OTHERS)
    for verb in (*commands.VERBS, "predict"):
        for entry in commands._entries(verb):
            kind = commands._tree([verb, entry.name] if verb != "predict" else [f"predict-{entry.name}"])
            one = kind[verb][entry.name] if verb != "predict" else kind[f"predict-{entry.name}"]
            found |= {*mistakes.options_of(one), *mistakes._aliases(one)}
    for words in ("evaluate", "predict", "study", "export", "compare", "runs", "data fetch", "data generate"):
        found |= set(_options(words.split()))
    return found


@pytest.mark.parametrize("paths", [SOURCES, PAGES], ids=["messages", "pages"])
def test_every_command_that_is_named_is_one(paths):
    wrong, seen = [], 0
    for path in paths:
        for text in _texts(path) if path.suffix == ".py" else [path.read_text(encoding="utf-8")]:
            for match in COMMAND.finditer(text):
                words = [word.rstrip(".:") for word in match[1].split()]
                if words[0] == "bench":  # whose own parser reads the rest
                    words = words[:2]
                seen += 1
                try:
                    options = _options(words)
                except AssertionError as error:
                    wrong.append(f"{path.relative_to(ROOT)}: {error}")
                    continue
                for word in words if options is not None else []:
                    name = word.partition("=")[0].removeprefix("--").removeprefix("no-")
                    if word.startswith("--") and name not in {*options, *OF_OTHERS}:
                        wrong.append(f"{path.relative_to(ROOT)}: jaxsci {' '.join(words)}: {word}")
    assert seen > 30
    assert not wrong, "\n".join(wrong)


def test_every_option_that_a_message_names_exists():
    known, wrong = _every_option(), []
    for path in SOURCES:
        for text in _texts(path):
            if "--" in text and not STYLE.search(text):
                names = {name.removeprefix("no-") for name in OPTION.findall(text)} - known
                wrong += [f"{path.relative_to(ROOT)}: --{name} in {text[:90]!r}" for name in sorted(names)]
    assert not wrong, "\n".join(wrong)
