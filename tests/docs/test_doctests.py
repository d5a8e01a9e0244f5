"""The examples in docstrings print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import jaxsci

ROOT = Path(jaxsci.__file__).parent
MODULES = sorted(
    ".".join(("jaxsci", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module(module):
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert attempted
    assert not failed
