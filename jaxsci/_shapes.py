"""The shapes and dtypes that arguments must have. They are known when a function is traced: a compiled program checks nothing."""

import functools
import re
from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jaxsci.errors import InputError


def expect_shapes(form: str, /, *arrays: Any, **sizes: Any) -> None:
    """Raise InputError unless every array has the axes that `form` gives to its name.

    >>> expect_shapes("scores [example, class], labels [example]", np.zeros((5, 3)), np.zeros(4))
    Traceback (most recent call last):
    jaxsci.errors.InputError: labels: expected [example=5] as in scores, got shape (4,)

    Args:
        form: "argument [axis, axis], argument [axis]", an argument for every array. An axis has one size wherever it is named; a number
            is its own size, and "4|8" is either. The last of an argument may be missing if it is "axis?", "..." is any further ones,
            and "*shape" any that are the same wherever they are named. No axes, [], are those of a scalar.
        *arrays: what has a shape, or plain numbers.
        **sizes: what is known of the axes: `example=5`, or `shape=(28, 28)` for "*shape".
    """
    _expect(form, arrays, sizes, one_example=False)


def expect_example(form: str, /, *arrays: Any, **sizes: Any) -> None:
    """`expect_shapes` in a function of ONE example: whoever gives it a batch is told what to do."""
    _expect(form, arrays, sizes, one_example=True)


def expect_dtype(argument: str, array: Any, kind: Literal["integer", "floating"]) -> None:
    """Raise InputError unless the numbers of this argument are of this kind; booleans are of neither."""
    dtype = array.dtype if hasattr(array, "dtype") else np.result_type(array)
    if not jnp.issubdtype(dtype, getattr(jnp, kind)):
        remedy = "give whole numbers in an integer array" if kind == "integer" else "convert them with .astype(float)"
        raise InputError(f"{argument}: expected {kind} numbers, got {dtype}; {remedy}")


def _expect(form: str, arrays: tuple[Any, ...], sizes: Mapping[str, Any], *, one_example: bool) -> None:
    known = {axis: tuple(size) if isinstance(size, list) else size for axis, size in sizes.items()}
    givers = dict[str, str]()
    for (argument, axes), array in zip(_arguments(form), arrays, strict=True):
        shape = getattr(array, "shape", () if isinstance(array, int | float | complex) else None)
        found = None if shape is None else _sizes(axes, shape, known)
        if found is None:
            like = dict.fromkeys(givers[name] for axis in axes if (name := axis.strip("*?")) in givers)
            wanted = _written(axes, known) + (f" as in {' and '.join(like)}" if like else "")
            got = f"a {type(array).__name__}" if shape is None else f"shape {shape}" if shape else "a scalar"
            remedy = _remedy(axes, shape, known, one_example)
            raise InputError(f"{argument}: expected {wanted}, got {got}{remedy}")
        givers |= dict.fromkeys(found.keys() - known.keys(), argument)
        known |= found


@functools.cache
def _arguments(form: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The arguments of a form, each with its axes."""
    return tuple((name, tuple(re.findall(r"[^\s,]+", axes))) for name, axes in re.findall(r"(\S+) \[([^]]*)\]", form))


def _sizes(axes: tuple[str, ...], shape: tuple[Any, ...], known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The size of each named axis in this shape; None if it has other axes, or one of another size than is known."""
    parts = list(shape)
    last = len(axes) - 1
    if axes and axes[-1][0] in ".*":
        parts[last:] = [tuple(parts[last:])]  # all further axes as one
    elif axes and axes[-1][-1] == "?" and len(parts) == last:
        axes = axes[:-1]
    if len(parts) != len(axes):
        return None
    found: dict[str, Any] = {}
    for axis, size in zip(axes, parts, strict=True):
        name = axis.strip("*?")
        if axis[0].isdigit():
            if str(size) not in axis.split("|"):
                return None
        elif axis != "..." and found.setdefault(name, known.get(name, size)) != size:
            return None
    return found


def _written(axes: tuple[str, ...], known: Mapping[str, Any]) -> str:
    if axes and axes[-1][-1] == "?":
        return f"{_written(axes[:-1], known)} or {_written((*axes[:-1], axes[-1][:-1]), known)}"
    parts: list[str] = []
    for axis in axes:
        size = known.get(axis.strip("*?"))
        parts += [axis] if size is None else map(str, size) if axis[0] == "*" else [f"{axis}={size}"]
    return f"[{', '.join(parts)}]" if parts else "a scalar"


def _remedy(axes: tuple[str, ...], shape: tuple[Any, ...] | None, known: Mapping[str, Any], one_example: bool) -> str:
    """What to do, where it is certain."""
    if shape is None:
        return "; make it an array"
    if shape == (1,) and _sizes(axes, (), known) is not None:
        return "; take its one number by .reshape(()), that of a model by models.heads.scalar"
    if one_example and shape and _sizes(axes, shape[1:], known) is not None:
        return "; apply it to one example, or jax.vmap it over a batch"
    return ""
