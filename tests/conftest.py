"""Strictness for every test: no silent dtype or rank promotion; warnings are errors (pyproject.toml)."""

import atexit
import os
import shutil
import tempfile

# One thread pool a worker: pytest-xdist runs two workers on two cores.
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the tests' time goes into compiling small programs: a third less with less effort of LLVM, for the same programs.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# What one test compiled, other tests, workers and commands need not compile again: one cache, removed at the end.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxsci-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """float64 inside one test: for oracles."""
    with jax.enable_x64(True):
        yield
