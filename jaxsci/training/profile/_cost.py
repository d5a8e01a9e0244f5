"""What a step costs as XLA counts it, and how fast a device multiplies matrices."""

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxsci.core import Array, Batch, Key
from jaxsci.training._programs import Recipes
from jaxsci.training._step import init_state, make_step

_PRODUCT = re.compile(r"stablehlo\.(?:dot_general|convolution)[^\n]*?: \(tensor<[^>]*?x?(bf16|f16|f32|f64)>")
_NAMES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "f64": "float64"}
SIDES = {"cpu": 2048}  # of the product whose rate is measured; one of 2048 is too short for an accelerator
_SIDE, _REPEATS = 8192, 5


class Cost(NamedTuple):
    """Of one step of one network: forward pass, backward pass and update, without what augments."""

    # Floating-point operations of the step as it is written, for any device; None where they are not known.
    operations: float | None
    bytes: float | None  # that the operations of its program on this device read and write; None where XLA does not say
    loops: bool  # whether that program has loops, of which XLA counts one turn: the bytes are then more
    products: str  # the format of the numbers that are multiplied
    unknown: str | None = None  # why the operations are not known, where that is not for XLA to say


def of_step(recipe: Recipes, hyper: Mapping[str, Any], key: Key, batch: Batch) -> Cost:
    """The cost of a step of one member.

    Args:
        recipe: of its hyperparameters.
        hyper: their shapes.
        key: its random key, or the shape of one.
        batch: the shapes of a batch, of which the step is counted in one piece: microbatches are a loop.
    """

    def begin(hyper: Mapping[str, Array], key: Key) -> Any:
        return init_state(_plain(recipe, hyper), key)

    def step(hyper: Mapping[str, Array], state: Any, batch: Batch) -> Any:
        return make_step(_plain(recipe, hyper))(state, batch)

    traced = jax.jit(step).trace(hyper, jax.eval_shape(begin, hyper, key), batch)
    written, unknown = _written(traced)
    text = written.as_text()
    formats = {_NAMES[kind] for kind in _PRODUCT.findall(text)}
    compiled = traced.lower().compile()
    return Cost(
        _of(written, "flops") if unknown is None else None,
        _of(compiled, "bytes accessed"),
        bool(re.search(r"= [^=\n]* while\(", compiled.as_text() or "")),
        next((name for name in _NAMES.values() if name in formats), "float32"),
        unknown,
    )


def _written(traced: Any) -> tuple[Any, str | None]:
    """The program as it is written, and why its operations cannot be counted; None where they can."""
    # For a TPU nothing is lowered to a loop that another device does at once, and no kernel hides what it computes.
    try:
        written = traced.lower(lowering_platforms=("tpu",))
    except Exception as error:  # for an operation that a TPU lacks JAX raises all kinds of errors
        why = " ".join(str(error).split())[:200] or type(error).__name__
        return traced.lower(), f"the step has an operation that not every device has ({why})"
    if "stablehlo.while" in written.as_text():
        return written, "the step has a loop, of which XLA counts one turn"
    return written, None


def _plain(recipe: Recipes, hyper: Mapping[str, Array]) -> Any:
    return recipe(hyper)._replace(microbatches=1, augment=None)


def _of(program: Any, name: str) -> float | None:
    found = program.cost_analysis()
    found = found[0] if isinstance(found, list) else found
    return float(found[name]) if found and found.get(name, 0) > 0 else None


def product_rate(devices: Sequence[Any], side: int, dtype: str) -> float:
    """Operations a second, 2 n^3 of a product [n, n] x [n, n], on all of these devices at once: the median of a few.

    Of several processes each measures on its own devices, at the same time.
    """
    own = [device for device in devices if device.process_index == jax.process_index()]
    place = NamedSharding(Mesh(np.array(own), ("device",)), PartitionSpec("device"))
    a = jax.device_put(np.ones((len(own), side, side), jnp.dtype(dtype)), place)
    multiply = jax.jit(lambda a: jnp.einsum("dij,djk->dik", a, a), out_shardings=place)
    seconds = _seconds(lambda: multiply(a))
    return 2 * side**3 * len(devices) / seconds


def _seconds(call: Callable[[], Array]) -> float:
    jax.block_until_ready(call())  # compiles
    found = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(call())
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def side_for(device: Any) -> int:
    """The side of the product to measure on such a device."""
    return SIDES.get(device.platform, _SIDE)
