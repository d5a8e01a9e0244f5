"""Run a network that `jaxsci export --format npz` wrote: Python and NumPy alone.

    from read_network import load

    network = load("pfn.npz")
    logits = network(elements, weights)  # one array [example, ...] for each input

The file holds the operations of the network as a list, each by its name in `jax.lax`, and its weights as arrays.
"""

import json
import math
from collections.abc import Callable
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
    window = kernel.shape[1:-2]
    sizes = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:-1], window, strides, dilation, strict=True)
    ]
    y = np.zeros((*x.shape[:2], *sizes, kernel.shape[-1]), x.dtype)
    for w in np.ndindex(*window):
        spans = [
            slice(d * i, d * i + s * (n - 1) + 1, s) for i, n, s, d in zip(w, sizes, strides, dilation, strict=True)
        ]
        part = x[(slice(None), slice(None), *spans)]
        k = kernel[(slice(None), *w)]
        y += (part.reshape(part.shape[0], -1, part.shape[-1]) @ k).reshape(y.shape)
    return y


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
    "erf": lambda x: np.vectorize(math.erf, otypes=[x.dtype])(x),
    "integer_pow": lambda x, y: x**y if y >= 0 else 1 / x**-y,
    "select_n": _select,
    "convert_element_type": lambda x, new_dtype: x.astype(new_dtype),
    "bitcast_convert_type": lambda x, new_dtype: np.ascontiguousarray(x).view(new_dtype),
    "stop_gradient": lambda x: x,
    "copy": lambda x: x,
    "broadcast_in_dim": _broadcast,
    "reshape": lambda x, new_sizes: x.reshape(new_sizes),
    "squeeze": lambda x, dimensions: x.squeeze(tuple(dimensions)),
    "transpose": lambda x, permutation: x.transpose(permutation),
    "concatenate": lambda *x, dimension: np.concatenate(x, dimension),
    "stack": lambda *x, axis: np.stack(x, axis),
    "slice": _slice,
    "iota": _iota,
    "reduce_sum": _with(np.sum),
    "reduce_max": _with(np.max),
    "reduce_min": _with(np.min),
    "reduce_and": _with(np.all),
    "reduce_or": _with(np.any),
    "dot_general": _dot,
    "convolution_output": _convolve,
}
