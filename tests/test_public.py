"""The public surface: names load on first use, and an installed wheel gives a user's program real types."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

import jaxsci
from jaxsci._public import public_names

ROOT = Path(__file__).parents[1]
SAMPLE = Path(__file__).parent / "typing" / "sample.py"


def python(code, *arguments):
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_library_imports_nothing_heavy():
    code = "import sys, jaxsci; dir(jaxsci); print(sorted({'jax', 'numpy', 'optax', 'matplotlib'} & set(sys.modules)))"
    assert python(code) == "[]"


def test_public_names_are_listed_once_and_shown_by_dir():
    names = public_names()
    assert len(names) == len(set(names))
    assert {"jaxsci.fit", "jaxsci.models.dense.Config", "jaxsci.ops.conv", "jaxsci.metrics.auc"} <= set(names)
    assert set(jaxsci.__all__) <= set(dir(jaxsci))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        jaxsci.nothing  # noqa: B018


def test_fit_and_predict_are_functions_whatever_was_imported_before():
    code = """
import importlib, os, sys, jax, optax
for first in sys.argv[1:]:  # each in a process that has imported nothing of the library
    if not os.fork():
        importlib.import_module(first)
        import jaxsci as js
        print(first, type(js.fit).__name__, type(js.predict).__name__, flush=True)
        os._exit(0)
    os.wait()
"""
    names = ["jaxsci.fitting", "jaxsci.training", "jaxsci.training.checkpoint", "jaxsci.cli.main"]
    assert python(code, *names).splitlines() == [f"{name} function function" for name in names]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A wheel of the working tree, in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*command, str(folder / "site"), str(wheel)], check=True, capture_output=True)
    return folder / "site"


def outside(installed, folder, *command):
    environment = os.environ | {"PYTHONPATH": str(installed), "MYPYPATH": str(installed)}
    run = [sys.executable, *command]
    return subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_users_program_runs_from_an_installed_wheel(installed, tmp_path):
    result = outside(installed, tmp_path, str(SAMPLE))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "(96,) True\n"


def test_a_strict_type_checker_sees_real_types(installed, tmp_path):
    kept = (
        platformdirs.user_cache_path("jaxsci") / "tests" / "mypy"
    )  # what it found in other packages, told by their content
    strict = ("-m", "mypy", "--strict", "--config-file=", f"--cache-dir={kept}")
    result = outside(installed, tmp_path, *strict, str(SAMPLE))
    assert result.returncode == 0, result.stdout + result.stderr
    wrong = SAMPLE.read_text() + "\njs.nothing\njs.fit(1)\njs.models.dense.Config(inputs='two')\n"
    (tmp_path / "wrong.py").write_text(wrong)
    errors = outside(installed, tmp_path, *strict, "wrong.py").stdout
    for code in ("attr-defined", "call-arg", "arg-type"):
        assert f"[{code}]" in errors
