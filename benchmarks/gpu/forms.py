"""Every form of the contractions of several groups, timed, and where the rule between them should lie."""

import argparse
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.convolution.shapes import LAYERS, OTHERS, Shape, smaller
from benchmarks.gpu.counts import DEVICES, counts, predicted
from jaxsci.ops.convolution import _accelerators as accelerators
from jaxsci.ops.convolution._sizes import ConvGeometry, conv_geometry

ROLES = ("input", "kernel", "output")
COMPARED: tuple[accelerators.Form, ...] = ("grouped", "in turn", "patches")
MEMBERS = 8
SHAPES = LAYERS | {name: OTHERS[name] for name in ("signal", "volume", "volume-first")}
MOST_IN_TURN = 64  # groups that are timed one after another


def cases(options: argparse.Namespace) -> Iterator[tuple[str, str, str, int, Shape]]:
    """Name, what it belongs to, role, groups, and the layer of one group."""
    for name in options.layers:
        shape = smaller(SHAPES[name]) if options.quick else SHAPES[name]
        for role in ROLES:
            yield name, f"ensemble of {MEMBERS}", role, MEMBERS, shape
        yield name, "per-example gradients", "kernel", shape.batch, shape._replace(batch=1)


def measure(role: str, groups: int, shape: Shape, dtype: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every form, the form of the rule, and what published rates predict."""
    rank = len(shape.size)
    wide = ((shape.stride,) * rank, "SAME", (shape.dilation,) * rank)
    geometry, output = conv_geometry(shape.size, (shape.window,) * rank, *wide)
    shapes = {
        "input": (groups, shape.batch, *shape.size, shape.inputs),
        "kernel": (groups, *(shape.window,) * rank, shape.inputs, shape.outputs),
        "output": (groups, shape.batch, *output, shape.outputs),
    }
    keys = jax.random.split(jax.random.key(0), 2)
    pair = [
        jax.random.normal(key, shapes[r], dtype) for key, r in zip(keys, (r for r in ROLES if r != role), strict=True)
    ]
    forms = [form for form in COMPARED if form != "in turn" or groups <= MOST_IN_TURN]
    calls = {form: _call(role, form, pair, geometry) for form in forms}
    seconds = timing.visits(calls, options.repeats, options.budget)
    sizes = accelerators.Sizes.of(role, *pair, geometry)
    number_format = "tf32" if dtype == "float32" else dtype
    return {
        "seconds": {form: float(np.median(values)) for form, values in seconds.items()},
        "rule": accelerators.choose(role, *pair, geometry),
        "patches_bytes": sizes.patches(geometry) * pair[0].dtype.itemsize,
        "predicted": {
            form: predicted(counts(role, form, *pair, geometry), DEVICES["h100"], number_format) for form in forms
        },
    }


def _call(role: str, form: accelerators.Form, pair: list[jax.Array], geometry: ConvGeometry) -> Callable[[], Any]:
    program = jax.jit(partial(accelerators.FORMS[form], role, geometry=geometry, precision=None)).lower(*pair).compile()
    return lambda: jax.block_until_ready(program(*pair))


def threshold(records: list[dict[str, Any]]) -> dict[str, float]:
    """The bytes of patches from which groups in turn are faster: where the geometric mean of time over the best time is least.

    Returns:
        that threshold, its mean, and the mean of the rule as it is.
    """
    both = [r for r in records if {"in turn", "patches"} <= r["seconds"].keys()]
    if not both:
        return {"bytes": float(accelerators.START_BYTES), "mean": 1.0, "mean_of_rule": 1.0}

    def mean(limit: float) -> float:
        losses = []
        for record in both:
            chosen = record["seconds"]["in turn" if record["patches_bytes"] > limit else "patches"]
            losses.append(math.log(chosen / min(record["seconds"]["in turn"], record["seconds"]["patches"])))
        return math.exp(float(np.mean(losses)))

    limits = [0.0, *sorted({float(record["patches_bytes"]) for record in both})]
    best = min(limits, key=mean)
    return {"bytes": best, "mean": mean(best), "mean_of_rule": mean(accelerators.START_BYTES)}


def error(dtype: str) -> float:
    """The largest difference between the forms of one small contraction, in standard deviations."""
    geometry, _ = conv_geometry((12, 12), (3, 3), (1, 1), "SAME", (1, 1))
    keys = jax.random.split(jax.random.key(1), 2)
    x, k = jax.random.normal(keys[0], (4, 2, 12, 12, 16), dtype), jax.random.normal(keys[1], (4, 3, 3, 16, 8), dtype)
    found = [accelerators.FORMS[form]("output", x, k, geometry, None).astype(jnp.float32) for form in COMPARED]
    return float(max(jnp.max(jnp.abs(y - found[0])) for y in found) / jnp.std(found[0]))
