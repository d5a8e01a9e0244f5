"""Imports run strictly downward, and importing the library touches no device."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxsci

ROOT = Path(jaxsci.__file__).parent
# A room may import itself and the rooms it lists.
BASE = {"_public", "errors", "files"}
ARRAYS = BASE | {"_numerics", "_shapes", "core"}
GROUND = BASE | {"healpix"}
MAY_IMPORT = {
    "_public": set(),
    "errors": set(),
    "files": {"errors"},
    "memory": {"errors"},
    "healpix": {"errors"},
    "core": set(),
    "_numerics": {"core"},
    "_shapes": {"errors"},
    "ops": GROUND | ARRAYS,
    "models": ARRAYS | {"ops"},
    "losses": ARRAYS | {"ops"},
    "metrics": ARRAYS | {"ops"},
    "training": ARRAYS | {"ops", "models", "losses"},
    "fitting": ARRAYS | {"ops", "models", "losses"},
    "gradients": ARRAYS | {"ops", "models", "losses", "metrics", "training"},
    "data": GROUND,
    "plots": GROUND,
    "runs": ARRAYS | {"ops", "models", "losses", "metrics", "training", "plots"},
    "tasks": GROUND
    | ARRAYS
    | {
        "ops",
        "models",
        "losses",
        "metrics",
        "training",
        "gradients",
        "fitting",
        "data",
        "plots",
        "runs",
        "memory",
    },
    "cli": BASE | {"memory", "runs", "tasks", "data"},
    "__main__": {"cli"},
}


def imported(path):
    """Names of all modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the absolute import"
            if node.module == "jaxsci":
                yield from (f"jaxsci.{alias.name}" for alias in node.names)
            else:
                yield node.module


def room_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


def test_every_room_is_listed_and_every_listed_room_exists():
    assert {room_of(path) for path in FILES} == set(MAY_IMPORT)
    assert set().union(*MAY_IMPORT.values()) <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path):
    room = room_of(path)
    names = set(imported(path))
    rooms = {name.split(".")[1] for name in names if name.startswith("jaxsci.")}
    assert rooms - {"__version__"} <= MAY_IMPORT[room] | {room}
    others = {name.split(".")[0] for name in names}
    if room in {"data", "plots", "files", "errors", "healpix"}:
        assert "jax" not in others
    if room not in {"data", "plots"}:
        assert not {"matplotlib", "pythia8mc", "fastjet", "h5py"} & others or room in {"tasks", "runs"}
    assert not {name for name in names if name.startswith(("jax._src", "flax.nnx"))}


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_the_library_touches_no_device():
    modules = [".".join(("jaxsci", *path.relative_to(ROOT).with_suffix("").parts)) for path in FILES]
    modules = [name.removesuffix(".__init__") for name in modules]
    code = f"import importlib; [importlib.import_module(name) for name in {modules}]; import jax\n"
    code += "from jax.extend import backend; import sys\n"
    # Configuring the platform after the imports works only while no backend was started.
    code += "jax.config.update('jax_platforms', 'no-such-platform')\n"
    code += (
        "try:\n    jax.devices()\nexcept RuntimeError as error:\n    assert 'no-such-platform' in str(error), error\n"
    )
    code += "else:\n    raise AssertionError('a backend was started by an import')\n"
    result = fresh(code)
    assert result.returncode == 0, result.stderr


def test_heavy_packages_are_imported_only_when_needed():
    code = "import sys, jaxsci.cli.main, jaxsci.training, jaxsci.models.dense\n"
    code += (
        "print(sorted({'matplotlib', 'orbax', 'h5py', 'pandas', 'pythia8mc', 'fastjet', 'flax'} & set(sys.modules)))"
    )
    result = fresh(code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
