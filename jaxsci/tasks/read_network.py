"""Run a network that `jaxsci export --format npz` wrote: Python and NumPy alone.

    from read_network import load

    network = load("pfn.npz")
    logits = network(elements, weights)  # one array [example, ...] for each input

The file holds the operations of the network as a list, each by its name in `jax.lax`, and its weights as arrays.
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

FORMAT = 1


def load(path: Any) -> Callable[..., np.ndarray]:
    """The network of a file: a function of its inputs, each [example, ...], that gives its outputs [example, ...]."""
    with np.load(path, allow_pickle=False) as content:
        header = json.loads(str(content["header"]))
        constants = {int(name[1:]): content[name] for name in content.files if name != "header"}
    if header["format"] != FORMAT:
        raise ValueError(f"{path}: expected format {FORMAT}, got {header['format']}; use the reader beside the file")
    batch, inputs = header["batch"], header["inputs"]

    def network(*arrays: np.ndarray) -> np.ndarray:
        arrays = tuple(np.asarray(array, entry["dtype"]) for array, entry in zip(arrays, inputs, strict=True))
        for array, entry in zip(arrays, inputs, strict=True):
            if list(array.shape[1:]) != entry["shape"] or len(array) != len(arrays[0]):
                raise ValueError(f"expected an array [example, *{entry['shape']}], got {list(array.shape)}; reshape it")
        number = len(arrays[0])
        filled = [np.concatenate([array, np.repeat(array[-1:], -number % batch, axis=0)]) for array in arrays]
        parts = [_run(header, constants, [a[i : i + batch] for a in filled]) for i in range(0, number, batch)]
        return np.concatenate(parts)[:number]

    return network


def _run(header: dict[str, Any], constants: dict[int, np.ndarray], arrays: list[np.ndarray]) -> np.ndarray:
    """The outputs of one batch. An array is forgotten after the last operation that needs it."""
    last = {i: step for step, (_, operands, _, _) in enumerate(header["operations"]) for i in operands}
    known = {**constants, **dict(zip((entry["number"] for entry in header["inputs"]), arrays, strict=True))}
    with np.errstate(all="ignore"):  # what is not selected may divide by zero
        for step, (name, operands, result, parameters) in enumerate(header["operations"]):
            known[result] = np.asarray(OPERATIONS[name](*(known[i] for i in operands), **parameters))
            for i in operands:
                if last[i] == step and i != header["output"] and i not in constants:
                    known.pop(i, None)
    return known[header["output"]]


def _divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x / y if x.dtype.kind == "f" else np.trunc(x / y).astype(x.dtype)


def _broadcast(x: np.ndarray, shape: list[int], broadcast_dimensions: list[int]) -> np.ndarray:
    sizes = [1] * len(shape)
    for axis, size in zip(broadcast_dimensions, x.shape, strict=True):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), shape)


def _slice(x: np.ndarray, start_indices: list[int], limit_indices: list[int], strides: list[int] | None) -> np.ndarray:
    steps = strides or [1] * x.ndim
    return x[tuple(slice(*span) for span in zip(start_indices, limit_indices, steps, strict=True))]


def _iota(dtype: str, shape: list[int], dimension: int) -> np.ndarray:
    sizes = [1] * len(shape)
    sizes[dimension] = shape[dimension]
    return np.broadcast_to(np.arange(shape[dimension], dtype=dtype).reshape(sizes), shape)


def _select(which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    if len(cases) == 2:
        return np.where(which, cases[1], cases[0])
    return np.choose(which, cases)


def _dot(x: np.ndarray, y: np.ndarray, dimension_numbers: list[Any]) -> np.ndarray:
    (x_summed, y_summed), (x_shared, y_shared) = dimension_numbers
    x_free = [axis for axis in range(x.ndim) if axis not in (*x_summed, *x_shared)]
    y_free = [axis for axis in range(y.ndim) if axis not in (*y_summed, *y_shared)]
    shared, summed = [x.shape[i] for i in x_shared], math.prod(x.shape[i] for i in x_summed)
    left = x.transpose(*x_shared, *x_free, *x_summed).reshape(*shared, -1, summed)
    right = y.transpose(*y_shared, *y_summed, *y_free).reshape(*shared, summed, -1)
    return (left @ right).reshape(*shared, *(x.shape[i] for i in x_free), *(y.shape[i] for i in y_free))


def _convolve(x: np.ndarray, kernel: np.ndarray, strides: Any, dilation: Any, padding: Any) -> np.ndarray:
    """y[g, b, t, o] = sum_{w, i} x[g, b, s t + d w - p, i] k[g, w, i, o], one position w of the window after another."""
    x = np.pad(x, [(0, 0), (0, 0), *padding, (0, 0)])
    sizes, positions = _positions(x.shape[2:-1], kernel.shape[1:-2], strides, dilation)
    y = np.zeros((*x.shape[:2], *sizes, kernel.shape[-1]), x.dtype)
    for w, spans in positions:
        part = x[(slice(None), slice(None), *spans)]
        k = kernel[(slice(None), *w)]
        y += (part.reshape(part.shape[0], -1, part.shape[-1]) @ k).reshape(y.shape)
    return y


def _positions(shape: Any, window: Any, strides: Any, dilation: Any) -> tuple[list[int], Iterator[tuple[Any, Any]]]:
    """How often a window fits along each axis, and for each position in it the places that it comes to lie on."""
    axes = list(zip(window, strides, dilation, strict=True))
    sizes = [max((n - d * (k - 1) - 1) // s + 1, 0) for n, (k, s, d) in zip(shape, axes, strict=True)]

    def spans(position: tuple[int, ...]) -> list[slice]:
        own = zip(position, sizes, axes, strict=True)
        return [slice(d * i, d * i + s * (n - 1) + 1 if n else 0, s) for i, n, (_, s, d) in own]

    return sizes, ((position, spans(position)) for position in np.ndindex(*window))


def _pad(x: np.ndarray, value: Any, padding_config: Any) -> np.ndarray:
    """With so many values before, after and between the elements of each axis; a negative number takes away."""
    low, high, inner = zip(*padding_config, strict=True) if x.ndim else ((), (), ())
    spread = np.full([n + max(n - 1, 0) * i for n, i in zip(x.shape, inner, strict=True)], value, x.dtype)
    spread[tuple(slice(None, None, i + 1) for i in inner)] = x
    ends = list(zip(low, high, strict=True))
    wide = np.pad(spread, [(max(a, 0), max(b, 0)) for a, b in ends], constant_values=value)
    return wide[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(wide.shape, ends, strict=True))]


def _convolve_any(
    x: np.ndarray,
    kernel: np.ndarray,
    *,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
) -> np.ndarray:
    """The convolution of `jax.lax`, whose axes lie in any order: (batch or outputs, channels, *space) are their numbers."""
    (batch, channel, *space), (outputs, inputs, *window), result = dimension_numbers
    groups = feature_group_count
    x = x.transpose(batch, *space, channel)
    inner = [(low, high, step - 1) for (low, high), step in zip(padding, lhs_dilation, strict=True)]
    x = _pad(x, 0, [(0, 0, 0), *inner, (0, 0, 0)])
    kernel = kernel.transpose(*window, inputs, outputs)
    x = np.moveaxis(x.reshape(*x.shape[:-1], groups, -1), -2, 0)
    kernel = np.moveaxis(kernel.reshape(*kernel.shape[:-1], groups, -1), -2, 0)
    y = _convolve(x, kernel, window_strides, rhs_dilation, [(0, 0)] * len(window))  # [group, batch, *space, output]
    y = np.moveaxis(y, 0, -2)
    y = np.moveaxis(y.reshape(*y.shape[:-2], -1), -1, 1)  # [batch, output, *space]
    return y.transpose(np.argsort(result))


def _pool(function: Any, empty: float) -> Callable[..., np.ndarray]:
    """A function of all elements in a window: of two of them, and its value where there is none."""

    def pooled(
        x: np.ndarray,
        window_dimensions: Any,
        window_strides: Any,
        padding: Any,
        base_dilation: Any,
        window_dilation: Any,
    ) -> np.ndarray:
        inner = [(low, high, step - 1) for (low, high), step in zip(padding, base_dilation, strict=True)]
        x = _pad(x, empty, inner)
        sizes, positions = _positions(x.shape, window_dimensions, window_strides, window_dilation)
        y = np.full(sizes, empty, x.dtype)
        for _, spans in positions:
            y = function(y, x[tuple(spans)])
        return y

    return pooled


def _with(function: Any, axis: str = "axes") -> Callable[..., np.ndarray]:
    def reduced(x: np.ndarray, **parameters: Any) -> np.ndarray:
        return np.asarray(function(x, axis=tuple(parameters[axis])), x.dtype)

    return reduced


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(np, function)
        for name, function in {
            **{"add": "add", "sub": "subtract", "mul": "multiply", "max": "maximum", "min": "minimum", "pow": "power"},
            **{"neg": "negative", "abs": "abs", "sign": "sign", "exp": "exp", "log": "log", "sqrt": "sqrt"},
            **{"log1p": "log1p", "expm1": "expm1", "tanh": "tanh", "sin": "sin", "cos": "cos", "asinh": "arcsinh"},
            **{"atan2": "arctan2", "floor": "floor", "ceil": "ceil", "is_finite": "isfinite", "square": "square"},
            **{"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater"},
            **{"ge": "greater_equal", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "not": "invert"},
        }.items()
    },
    "div": _divide,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "exp2": np.exp2,
    "cbrt": np.cbrt,
    "erf": lambda x: np.vectorize(math.erf, otypes=[x.dtype])(x),
    "integer_pow": lambda x, y: x**y if y >= 0 else 1 / x**-y,
    "select_n": _select,
    "convert_element_type": lambda x, new_dtype: x.astype(new_dtype),
    "bitcast_convert_type": lambda x, new_dtype: np.ascontiguousarray(x).view(new_dtype),
    "stop_gradient": lambda x: x,
    "copy": lambda x: x,
    "broadcast_in_dim": _broadcast,
    "reshape": lambda x, new_sizes, dimensions=None: (x.transpose(dimensions) if dimensions else x).reshape(new_sizes),
    "squeeze": lambda x, dimensions: x.squeeze(tuple(dimensions)),
    "transpose": lambda x, permutation: x.transpose(permutation),
    "concatenate": lambda *x, dimension: np.concatenate(x, dimension),
    "stack": lambda *x, axis: np.stack(x, axis),
    "slice": _slice,
    "pad": _pad,
    "rev": lambda x, dimensions: np.flip(x, dimensions),
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "iota": _iota,
    "reduce_sum": _with(np.sum),
    "reduce_max": _with(np.max),
    "reduce_min": _with(np.min),
    "reduce_prod": _with(np.prod),
    "reduce_and": _with(np.all),
    "reduce_or": _with(np.any),
    "dot_general": _dot,
    "convolution_output": _convolve,
    "conv_general_dilated": _convolve_any,
    "reduce_window_sum": _pool(np.add, 0),
    "reduce_window_max": _pool(np.maximum, -np.inf),
    "reduce_window_min": _pool(np.minimum, np.inf),
}
