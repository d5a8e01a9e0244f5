"""The machine a benchmark runs on: what it is, how many cores it may use, and how fast it multiplies matrices."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jaxsci
from jaxsci.ops.convolution.choice import named_choice

PACKAGES = ("jax", "jaxlib", "optax", "numpy", "torch", "backpack-for-pytorch", "opacus", "curvlinops-for-pytorch")


def limit_cores(count: int) -> None:
    """Keep this process on `count` of the cores it may use, where the operating system can (Linux).

    Call it before JAX starts its threads, of which it takes as many as the process has cores.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def describe(size: int = 2048, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, memory, versions (also of further `packages`), devices, load, the rate of a matrix product of this size: a JSON object."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_average": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"jaxsci": jaxsci.__version__} | {name: _version(name) for name in (*PACKAGES, *packages)},
        "devices": [str(device) for device in jax.devices()],
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "convolution": named_choice(),
        "matrix_product": {"size": size, "dtype": "float32", "gflops": round(product_gflops(size), 1)},
    }


def product_gflops(size: int, dtype: str = "float32") -> float:
    """The median rate of a matrix product [size, size] x [size, size], 2 size^3 operations, in 10^9 a second."""
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    return 2e-9 * size**3 / _median_seconds(jax.jit(jnp.matmul), a, a)


def copy_rate(size: int) -> float:
    """The median rate at which `size` float32 numbers are read and written, in 10^9 bytes a second.

    The numbers should be many more than a cache holds. One call goes over them often, since the pages of a new array have to come from
    the operating system first, at a rate of its own.
    """
    passes = 16

    @jax.jit
    def copies(numbers: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, passes, lambda _, x: -x, numbers)

    return 8e-9 * size * passes / _median_seconds(copies, jnp.ones(size, jnp.float32))


def _median_seconds(program: Callable[..., jax.Array], *arrays: jax.Array, repeats: int = 7) -> float:
    program(*arrays).block_until_ready()  # compiles
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        program(*arrays).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        fields = dict(line.split(":", 1) for line in cpuinfo.read_text(encoding="utf-8").splitlines() if ":" in line)
        names = {name.strip(): value.strip() for name, value in fields.items()}
        if "model name" in names:
            return f"{names['model name']} (family {names.get('cpu family')}, model {names.get('model')})"
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
