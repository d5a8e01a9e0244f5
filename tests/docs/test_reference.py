"""The API reference documents exactly the public names, and the pages are built without a warning."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jaxsci
from jaxsci._public import public_names

ROOT = Path(__file__).parents[2]
API = ROOT / "docs" / "api"


def value(name):
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module), last)


def test_every_public_module_has_its_place_in_the_reference():
    text = "".join(path.read_text(encoding="utf-8") for path in API.glob("*.md"))
    listed = re.findall(r"^\.\. public:: (.*)$", text, flags=re.MULTILINE)
    modules = {name for name in public_names() if isinstance(value(name), ModuleType)}
    assert sorted(listed) == sorted(modules)


def test_the_names_at_the_top_are_explained():
    text = (API / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`js\.(\w+)`", text)) == set(jaxsci.__all__)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("sphinx_book_theme")
    out = tmp_path_factory.mktemp("pages")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "-b", "html", str(ROOT / "docs"), str(out / "html")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return out / "html"


@pytest.mark.slow
def test_the_reference_documents_exactly_the_public_names(built):
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    kinds = ("module", "class", "exception", "function", "data")
    documented = {name for kind in kinds for name in inventory.data.get(f"py:{kind}", ())}
    top = {f"jaxsci.{name}" for name in jaxsci.__all__}  # shown in a table, documented where they are defined
    public = {name for name in public_names() if name not in top or isinstance(value(name), ModuleType)}
    public |= {"jaxsci.load"}  # of a module that is not public
    assert public <= documented | set(inventory.data["py:attribute"])  # an alias of another library's type is one
    same = {id(value(name)) for name in public}  # a class is also known by the module that defines it
    assert {name for name in documented - public if id(value(name)) not in same} == set()


@pytest.mark.slow
def test_pages_fetch_nothing_and_link_to_what_exists(built):
    broken = []
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(
            r'<(?:script|img|link)[^>]*(?:src|href)="(https?:)?//[^"]*"[^>]*(?:stylesheet|>)', text
        ), page
        if page.relative_to(built).parts[0] in (
            "_static",
            "_modules",
        ):  # templates, and listings with code that looks like links
            continue
        targets = re.findall(r'(?:href|src)="(?![a-z]+:)([^"#?]+)[^"]*"', text)
        broken += [f"{page.relative_to(built)}: {target}" for target in targets if not (page.parent / target).exists()]
    assert not broken
