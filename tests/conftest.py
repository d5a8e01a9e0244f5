"""Strictness for every test (no silent dtype or rank promotion; warnings are errors), and a cache of compiled programs.

`pytest` runs what decides about a change; `pytest -m "" --hypothesis-profile nightly` runs everything, with many random cases.
"""

import contextlib
import ctypes
import fcntl
import gc
import hashlib
import os
import platform
import resource
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import hypothesis
import platformdirs

CACHE_BYTES = 2_000_000_000
GLIBC = ctypes.CDLL("libc.so.6") if platform.libc_ver()[0] == "glibc" else None


def compiled_programs():
    """Folder of compiled programs, in the user's cache: one for each version of JAX, processor and set of compiler flags."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else [platform.processor()]
    # A program compiled for one set of instructions must not be loaded where they are missing.
    features = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    text = "\n".join((platform.machine(), features, os.environ["XLA_FLAGS"]))
    name = f"jax-{version('jax')}-{version('jaxlib')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return platformdirs.user_cache_path("jaxsci") / "tests" / name


def bound(folder, largest):
    """Delete the files that were written first until the rest takes at most half of `largest` bytes, if it takes more."""
    # JAX's own bound reads the whole folder for each program that it writes: slower than to compile it.
    folders = [one for one in os.scandir(folder) if one.is_dir()] if folder.exists() else []
    entries = [entry for one in folders for entry in os.scandir(one) if entry.name.endswith("-cache")]
    size = sum(entry.stat().st_size for entry in entries)
    if size > largest:
        for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime):
            if size <= largest / 2:
                break
            Path(entry).unlink(missing_ok=True)
            size -= entry.stat().st_size


# Sources are translated once, not by every process: half of the time to collect the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the tests' time goes into compiling small programs: less than half of it with no effort of LLVM, one module per program and,
# where XLA still has them, its older emitters. `XLA_FLAGS= pytest` compiles as users do.
QUICK = ["--xla_backend_optimization_level=0", "--xla_cpu_parallel_codegen_split_count=1"]
if version("jaxlib").startswith("0.10."):
    QUICK.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(QUICK))
# What one test compiled, other tests, workers, commands and later runs need not compile again.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(compiled_programs())
    bound(compiled_programs().parent, CACHE_BYTES)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402 (it reads the environment when it is imported)
import pytest  # noqa: E402

from jaxsci.plots import png  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Pages are drawn by the hundred: figures on them have fewer pixels, and are drawn once, not anew for dark pages.
AS_USERS_SEE_THEM = {name: getattr(png, name) for name in ("PIXELS_PER_INCH", "encode_both", "laid_out")}
png.PIXELS_PER_INCH = 48
png.encode_both = lambda figure: (png.encode(figure),) * 2


@contextlib.contextmanager
def not_laid_out(figure, pixels_per_inch):
    """What is drawn may overlap: to find places takes twice as long as to draw."""
    figure.set_layout_engine("none")
    figure.set_dpi(pixels_per_inch)
    yield


def pytest_configure(config):
    if config.option.markexpr == "not slow":  # where everything is run, figures of pages are laid out too
        png.laid_out = not_laid_out


# The same cases in every run, whose programs are then in the cache; by night other cases, and many.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.register_profile("nightly", derandomize=False, deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """The function (name, make) that gives a folder which `make(folder)` filled: by the first worker that asks, for each a copy."""

    def copy(name, make):
        base = tmp_path_factory.getbasetemp()
        shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"made-once-{name}"
        with open(f"{shared}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / "whole").exists():
                make(shared)
                (shared / "whole").touch()
        return shutil.copytree(shared, tmp_path_factory.mktemp(name) / "copy")

    return copy


@pytest.fixture
def x64():
    """float64 inside one test: for oracles."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def sharp(monkeypatch):
    """Figures as users see them."""
    for name, value in AS_USERS_SEE_THEM.items():
        monkeypatch.setattr(png, name, value)


# Each waits for a process of several devices: begun first, so that no worker waits for it at the end.
LONGEST = ("test_mesh.py", "test_convolution_meshes.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish():
    # Python's search for cycles took a tenth of the time of tests that trace: what is imported now stays, and is not gone through again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


FULL, STEP = 850_000_000, 150_000_000  # bytes: the largest tests take three quarters of a gigabyte more
left = 0  # bytes that this process held when it last gave memory back


def resident():
    """Bytes of memory that this process holds; 0 where the system does not say so in a file."""
    held = Path("/proc/self/statm")
    return int(held.read_text().split()[1]) * resource.getpagesize() if held.exists() else 0


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    # The programs of a file serve the next one rarely, and would fill the memory, which the C library does not give back by itself. It
    # takes a fifth of a second, and most files compile little.
    global left
    held = resident()
    if nextitem is not None and held > left + STEP and (nextitem.path != item.path or held > FULL):
        jax.clear_caches()
        gc.collect()
        if GLIBC:
            GLIBC.malloc_trim(0)
        left = resident()


PEAKS = []  # GB, of the processes that ran tests


def pytest_sessionfinish(session):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["peak"] = peak
    elif not session.config.getoption("numprocesses", None):
        PEAKS.append(peak)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    PEAKS.extend([node.workeroutput["peak"]] if hasattr(node, "workeroutput") else [])


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("largest memory of a test process: " + ", ".join(f"{peak:.1f} GB" for peak in PEAKS))
