"""A network as an ONNX file, by the package jax2onnx."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jaxsci.core import Array
from jaxsci.errors import InputError
from jaxsci.files import replacing
from jaxsci.ops.convolution import xla as xla_convolution

__all__ = ["save"]

_INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where an operation holds others
_BITS = "upper_digits"  # of `ops._lorentz`: ONNX knows no bits, but rounds every product and sum
_TOLERANCE = 1e-3  # of the outputs, by which a rounding is told from another operation


def save(path: Path, program: Callable[..., Any], example: list[np.ndarray]) -> None:
    """Write a program with its weights for any number of examples, whole or not at all.

    Args:
        path: .onnx to write.
        program: a function of arrays [batch, ...] that gives an array [batch, ...].
        example: arrays [example, ...] like its inputs, several and not alike, on which the file is compared with the program.

    Raises:
        InputError: jax2onnx is not installed or does not know an operation, or the file gives another result on the example.
    """
    try:
        import onnxruntime
        from jax2onnx import to_onnx
    except ImportError as error:
        raise InputError(
            f"--format onnx: expected the package jax2onnx, got {error}; pip install 'jaxsci[onnx]'"
        ) from error
    (batch,) = jax.export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype) for leaf in example]
    try:
        # Traced before jax2onnx puts functions of its own in the place of those of jax.numpy, which know no vmap.
        traced = jax.make_jaxpr(program)(*shapes)
        written = to_onnx(lambda *x: _run(traced, x)[0], shapes, model_name="jaxsci").SerializeToString()
        reader = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in reader.get_inputs()]
        (found,) = reader.run(None, dict(zip(names, example, strict=True)))
    except Exception as error:  # of any kind: the converter has no errors of its own
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"--format onnx: expected a network that jax2onnx converts for any batch size, got one that it cannot ({words[0][:120]});"
            " use --format jax or npz"
        ) from error
    wanted = np.asarray(jax.jit(program)(*example))
    if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
        differ = np.max(np.abs(found - wanted)) if found.shape == wanted.shape else np.inf
        raise InputError(
            f"{path}: expected the outputs of the run of the written network, got others, by up to {differ:.3g};"
            " use --format jax or npz"
        )
    with replacing(path) as temporary:
        temporary.write_bytes(written)


def _run(program: ClosedJaxpr, arrays: Sequence[Any]) -> list[Any]:
    """The results of a traced program, operation by operation, with its convolutions as those of XLA, and no bits."""
    jaxpr = program.jaxpr
    known: dict[Any, Any] = dict(zip(jaxpr.invars, arrays, strict=True))
    known |= dict(zip(jaxpr.constvars, program.consts, strict=True))

    def value(atom: Any) -> Any:
        return _number(atom) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        operands, parameters = [value(atom) for atom in equation.invars], equation.params
        inside = next((parameters[name] for name in _INSIDE if name in parameters), None)
        if parameters.get("name") == _BITS:
            results = [upper_digits_by_rounding(*operands)]
        elif inside is not None:
            results = _run(inside, operands)
        elif equation.primitive.name == "convolution_output":
            results = [xla_convolution.output(*operands, geometry=parameters["geometry"], precision=None)]
        else:
            with jax.ensure_compile_time_eval() if _is_constant(equation, operands) else nullcontext():
                found = equation.primitive.bind(*operands, **parameters)
            results = found if equation.primitive.multiple_results else [found]
        known |= dict(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _is_constant(equation: Any, operands: Sequence[Any]) -> bool:
    """Whether the results depend on no input: jax2onnx repeats computed masks for the wrong number of examples, but not written ones."""
    sizes = [size for variable in equation.outvars for size in variable.aval.shape]
    return not any(isinstance(x, jax.core.Tracer) for x in operands) and all(isinstance(size, int) for size in sizes)


def _number(literal: Literal) -> np.ndarray:
    aval: Any = literal.aval
    return np.asarray(literal.val, aval.dtype)


def upper_digits_by_rounding(x: Array) -> Array:
    """The numbers rounded to the upper half of their digits, by products and sums that must each be rounded.

    Source: Dekker 1971, Numer. Math. 18, 224. Of numbers above 1e34 in float32 the product overflows.
    """
    digits = np.finfo(x.dtype).nmant + 1
    large = x * jnp.asarray(2.0 ** math.ceil(digits / 2) + 1, x.dtype)
    return large - (large - x)
